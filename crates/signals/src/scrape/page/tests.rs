//! Pages as they come and go, and the promise that the quick way in reads what the format says. No test knows how the cache works.

use super::*;
use proptest::prelude::*;
use series::is_stale;

use crate::relay::encode;

fn keep(labels: &Labels) -> Result<Option<Vec<u8>>, String> {
    Ok((labels.name() != "dropped").then(|| encode::key(labels, ("job", "j"))))
}

fn reading(at_ms: i64, format: Format) -> Reading<'static> {
    Reading { format, at_ms, own_times: true, sample_limit: 0, prepare: &keep }
}

/// Series as text, time, and value or `stale`.
fn shown(batches: &[Batch]) -> Vec<String> {
    let one = |s: series::formats::SeriesPoints<'_>| {
        let labels = s.labels.unwrap();
        let rest: Vec<_> =
            labels.iter().filter(|(n, _)| !matches!(*n, "__name__" | "job")).map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(labels.get("job"), Some("j"));
        let (at, value) = s.points[0];
        let value = if is_stale(value) { "stale".to_owned() } else { value.to_string() };
        format!("{}{{{}}}@{at}={value}", labels.name(), rest.join(","))
    };
    batches.iter().flat_map(Batch::series).map(one).collect()
}

fn read(cache: &mut Cache, page: &str, at_ms: i64) -> (Vec<String>, Counts) {
    let counts = cache.read(page, &reading(at_ms, Format::Text)).unwrap();
    (shown(&cache.take(Tail::default())), counts)
}

#[test]
fn a_page_is_read_the_same_whether_its_series_are_known_or_not() {
    let page =
        "# HELP a What\n# TYPE a gauge\na 1\na{x=\"1\"} 2.5\na {x=\"2\"}\t3\nb{y=\"}\\\" \"} +Inf\ndropped 9\nc 4 77\n";
    let mut cache = Cache::default();
    let expected = ["a{}@5=1", "a{x=1}@5=2.5", "a{x=2}@5=3", "b{y=}\" }@5=inf", "c{}@77=4"];
    let (first, counts) = read(&mut cache, page, 5);
    assert_eq!(first, expected);
    assert_eq!(counts, Counts { scraped: 6, kept: 5, added: 6 });
    let (again, counts) = read(&mut cache, page, 5);
    assert_eq!((again, counts.added), (expected.map(str::to_owned).to_vec(), 0));
    let mut lines: Vec<&str> = page.lines().collect();
    lines.reverse();
    let (turned, counts) = read(&mut cache, &lines.join("\n"), 5);
    assert_eq!(turned, expected.iter().rev().map(|s| (*s).to_owned()).collect::<Vec<_>>());
    assert_eq!(counts.added, 0);
}

#[test]
fn what_goes_is_ended_once_and_what_comes_back_is_new() {
    let mut cache = Cache::default();
    read(&mut cache, "a 1\nb 1\nc 1 50\n", 10);
    assert_eq!(
        read(&mut cache, "a 2\n", 20).0,
        ["a{}@20=2", "b{}@20=stale"],
        "c has times of its own: its end is not told"
    );
    assert_eq!(read(&mut cache, "a 3\n", 30).0, ["a{}@30=3"]);
    let (back, counts) = read(&mut cache, "a 4\nb 4\n", 40);
    assert_eq!((back, counts.added), (vec!["a{}@40=4".to_owned(), "b{}@40=4".to_owned()], 1));
    assert_eq!(
        read(&mut cache, "a{} 5\nb 5\n", 50).0,
        ["a{}@50=5", "b{}@50=5"],
        "written in another way it is the same series"
    );
}

#[test]
fn a_page_that_is_wrong_somewhere_is_not_taken_and_everything_is_ended() {
    let mut cache = Cache::default();
    read(&mut cache, "a 1\nb 1\n", 10);
    for page in [
        "a 2\nb\n",
        "a 2\nb{ 1\n",
        "a 2\nb{x=\"} 1\n",
        "a 2\nb one\n",
        "a 2\nb 1 2 3\n",
        "a 2\n1b 2\n",
        "a 2\n# TYPE b thing\n",
    ] {
        assert!(cache.read(page, &reading(20, Format::Text)).is_err(), "{page:?}");
        assert!(cache.sheet.points.is_empty(), "{page:?}");
        if page == "a 2\nb\n" {
            assert_eq!(cache.end_all(20), 2);
            assert_eq!(shown(&cache.take(Tail::default())), ["a{}@20=stale", "b{}@20=stale"]);
        }
        assert_eq!(cache.end_all(20), 0, "ended once");
    }
    let (after, counts) = read(&mut cache, "a 3\n", 30);
    assert_eq!((after, counts.added), (vec!["a{}@30=3".to_owned()], 1));
}

#[test]
fn openmetrics_has_an_end_exemplars_and_seconds() {
    let page = "# TYPE a counter\na_total 1 # {t=\"x\"} 0.5\nb 2 1.5\n# EOF\n";
    let mut cache = Cache::default();
    cache.read(page, &reading(5, Format::OpenMetrics)).unwrap();
    let batch = cache.take(Tail::default()).remove(0);
    let points: Vec<_> = batch.series().map(|s| s.points[0]).collect();
    assert_eq!(points, [(5, 1.0), (1500, 2.0)]);
    assert_eq!((batch.exemplars[0].value, batch.exemplars[0].labels[0].1.as_str()), (0.5, "x"));
    assert_eq!(batch.metadata[0].family, "a");
    let cut = cache.read("a_total 1\n", &reading(5, Format::OpenMetrics));
    assert_eq!(cut, Err(PageError::CutShort));
}

#[test]
fn families_are_told_when_they_change() {
    let mut cache = Cache::default();
    let told = |cache: &mut Cache, page: &str| {
        cache.read(page, &reading(5, Format::Text)).unwrap();
        cache.take(Tail::default())[0].metadata.len()
    };
    assert_eq!(told(&mut cache, "# HELP a x\na 1\n"), 1);
    assert_eq!(told(&mut cache, "# HELP a x\na 2\n"), 0);
    assert_eq!(told(&mut cache, "# HELP a y\na 2\n"), 1);
}

#[test]
fn a_limit_of_samples_counts_what_relabelling_left_and_a_nan_is_no_end() {
    let mut cache = Cache::default();
    let limited = |limit| Reading { sample_limit: limit, ..reading(5, Format::Text) };
    assert!(cache.read("a 1\nb NaN\ndropped 1\n", &limited(2)).is_ok());
    let more = cache.read("a 1\nb 1\nc 1\n", &limited(2));
    assert_eq!(more, Err(PageError::TooManySamples { limit: 2 }));
    let nan = read(&mut cache, "a nan\nb -NaN\n", 9).0;
    assert_eq!(nan, ["a{}@9=NaN", "b{}@9=NaN"]);
}

#[test]
fn series_that_come_and_go_do_not_stay_in_memory() {
    let mut cache = Cache::default();
    for n in 0..2000 {
        read(&mut cache, &format!("a{{n=\"{n}\"}} 1\nb 1\n"), n);
    }
    assert!(cache.known.len() < 200 && cache.places.len() < 200, "{}", cache.known.len());
    assert!(cache.names.len() < 20_000, "{}", cache.names.len());
}

#[test]
fn what_is_said_of_the_scrape_stands_behind_its_samples_whatever_becomes_of_the_page() {
    let name = |name: &str| encode::key(&Labels::metric(name, &[]).unwrap(), ("job", "j"));
    let names = [name("up"), name("took")];
    let mut cache = Cache::default();
    for (page, at, expected) in [
        ("a 1\nb 1\n", 1, &["a{}@1=1", "b{}@1=1", "up{}@1=1", "took{}@1=0.5"][..]),
        ("a 2\nb 2\n", 2, &["a{}@2=2", "b{}@2=2", "up{}@2=1", "took{}@2=0.5"]),
        ("a 3\n", 3, &["a{}@3=3", "b{}@3=stale", "up{}@3=1", "took{}@3=0.5"]),
        ("a 4\n", 4, &["a{}@4=4", "up{}@4=1", "took{}@4=0.5"]),
        ("c 5\na 5\n", 5, &["c{}@5=5", "a{}@5=5", "up{}@5=1", "took{}@5=0.5"]),
        ("a\n", 6, &["c{}@6=stale", "a{}@6=stale", "up{}@6=1", "took{}@6=0.5"]),
        ("a\n", 7, &["up{}@7=1", "took{}@7=0.5"]),
        ("a 8\n", 8, &["a{}@8=8", "up{}@8=1", "took{}@8=0.5"]),
    ] {
        if cache.read(page, &reading(at, Format::Text)).is_err() {
            cache.end_all(at);
        }
        let points = [(at, 1.0), (at, 0.5)];
        let mut got = shown(&cache.take(Tail { names: &names, points: &points }));
        let mut expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
        got.sort();
        expected.sort();
        assert_eq!(got, expected, "{page:?} at {at}");
    }
}

proptest! {
    /// The quick way in reads what the decoder of the whole page reads, and refuses what that refuses.
    #[test]
    fn it_reads_what_the_format_says(lines in prop::collection::vec(
        prop_oneof!["[ab]\\{?[xy]?=?\"?[a\\\\\"} ]{0,3}\"?,?\\}? ?[0-9.eNa+-]{0,4} ?[0-9]{0,2}", "[ab]\\{x=\"[a\\\\}]{0,2}\"\\} [0-9]{1,3}", "# (HELP|TYPE) [ab] ?(gauge)?"], 0..6,
    )) {
        let page = lines.join("\n");
        let whole = exposition::decode(page.as_bytes(), 5, Limits::default());
        let prepare = |labels: &Labels| Ok(Some(encode::key(labels, ("job", "j"))));
        let how = Reading { prepare: &prepare, ..reading(5, Format::Text) };
        let mut cache = Cache::default();
        for round in 0..2 {
            let read = cache.read(&page, &how);
            let labelled = whole.as_ref().map(|batch| batch.series().all(|s| s.labels.is_ok()));
            prop_assert_eq!(read.is_ok(), labelled == Ok(true), "round {}: {:?} {:?} {:?}", round, page, read, whole);
            let Ok(batch) = &whole else { continue };
            if read.is_ok() {
                let got = cache.take(Tail::default());
                let a: Vec<_> = got.iter().flat_map(Batch::series).map(|s| (s.points[0].0, s.points[0].1.to_string())).collect();
                let b: Vec<_> = batch.series().map(|s| (s.points[0].0, s.points[0].1.to_string())).collect();
                prop_assert_eq!(a, b);
            }
        }
    }
}

/// Native and classic histograms of one family, and a gauge whose value is not a number.
fn families() -> Vec<u8> {
    let native = include_bytes!("../../../../../fuzz/corpus/series_families/native");
    let gauge = b"\x12\x0a\x01g\x18\x01\x22\x0b\x12\x09\x09\x02\x00\x00\x00\x00\x00\xf0\x7f";
    [&native[..], gauge].concat()
}

#[test]
fn a_page_of_protocol_buffers_is_read_with_its_native_histograms_and_their_end() {
    use series::formats::families::Buckets;
    let of = |at_ms, wanted| reading(at_ms, Format::Families(wanted));
    let mut cache = Cache::default();
    let counts = cache.read(&families(), &of(5, Buckets::Native)).unwrap();
    assert_eq!(counts, Counts { scraped: 2, kept: 2, added: 2 });
    let batches = cache.take(Tail::default());
    let points: Vec<_> = batches.iter().flat_map(Batch::series).filter(|s| !s.points.is_empty()).collect();
    assert_eq!(points.iter().map(|s| s.labels.clone().unwrap().name().to_owned()).collect::<Vec<_>>(), ["g"]);
    let value = points[0].points[0].1;
    assert!(value.is_nan() && !is_stale(value), "what a target shows does not end a series");
    let natives: Vec<_> =
        batches.iter().flat_map(|batch| batch.histograms.iter().map(move |one| (batch, one))).collect();
    let [(batch, one)] = natives[..] else { panic!("{} histograms", natives.len()) };
    let labels = batch.series().nth(one.series).unwrap().labels.unwrap();
    assert_eq!((labels.name(), one.at_ms, one.histogram.count), ("lasted_seconds", 5, 4.0));
    let told: Vec<_> =
        batches.iter().flat_map(|batch| batch.metadata.iter().map(|about| about.family.as_str())).collect();
    assert_eq!(told, ["lasted_seconds", "g"]);
    let again = cache.read(&families(), &of(6, Buckets::Native)).unwrap();
    assert_eq!((again.added, again.kept), (0, 2));
    let again = cache.take(Tail::default());
    assert_eq!(again.iter().map(Batch::samples).sum::<usize>(), 2, "what is known is there again");
    cache.read("g 7\n", &reading(7, Format::Text)).unwrap();
    let text = shown(&cache.take(Tail::default()));
    assert_eq!(text, ["g{}@7=7", "lasted_seconds{path=/}@7=stale"], "the same series, written in another way");
    let classic = cache.read(&families(), &of(8, Buckets::Classic)).unwrap();
    let made = shown(&cache.take(Tail::default()));
    assert_eq!((classic.scraped, made.len()), (5, 5), "two buckets, count and sum, and the other");
}

#[test]
fn a_page_of_protocol_buffers_that_is_cut_short_is_not_taken() {
    let mut cache = Cache::default();
    let page = families();
    let how = reading(5, Format::Families(series::formats::families::Buckets::Native));
    let cut = cache.read(&page[..page.len() - 1], &how);
    assert!(matches!(cut, Err(PageError::Families(_))), "{cut:?}");
    assert!(cache.take(Tail::default()).is_empty());
}

#[test]
fn histograms_that_are_gone_are_let_go_and_those_that_stay_are_not() {
    let how = reading(5, Format::Families(series::formats::families::Buckets::Native));
    let native = include_bytes!("../../../../../fuzz/corpus/series_families/native");
    let name = native.windows(14).position(|bytes| bytes == b"lasted_seconds").unwrap() + 13;
    let path = native.iter().position(|byte| *byte == b'/').unwrap();
    let page = |n: u8| {
        let mut page = native.to_vec();
        (page[name], page[path]) = (b'a' + n / 20, b'a' + n % 20);
        page
    };
    let mut cache = Cache::default();
    for n in 0..250 {
        cache.read(&page(n), &how).unwrap();
        cache.take(Tail::default());
    }
    assert!(cache.known.len() <= 103, "{} are known of one", cache.known.len());
    let all: Vec<u8> = (0..200).flat_map(page).collect();
    for round in 0..3 {
        let counts = cache.read(&all, &how).unwrap();
        cache.take(Tail::default());
        assert_eq!((counts.scraped, counts.added == 0, cache.known.len() >= 200), (200, round > 0, true));
    }
}
