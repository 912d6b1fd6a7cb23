//! What is read of files, what is told of those that are wrong, and the order in which samples reach an engine.

use std::io::{self, Write};
use std::sync::Arc;

use kernel::Verb;
use kernel::define::proof::{round_trip, unfinished};
use series::{Engine, Metrics, Options};

use super::read::{Names, Row, Sink, What, read_text};
use super::store::Storing;
use super::*;
use crate::faulty::Faulty;

/// Rows as text: line, series, time, value.
#[derive(Default)]
struct Seen(Vec<String>);

impl Sink for Seen {
    fn row(&mut self, names: &Names, row: Row) -> io::Result<()> {
        let labels = names.of(row.series);
        let rest: Vec<_> = labels.iter().filter(|(n, _)| *n != series::NAME).map(|(n, v)| format!("{n}={v}")).collect();
        let what = match &row.what {
            What::Float(value) => value.to_string(),
            What::Histogram(h) => format!("schema {} count {} {:?}", h.schema, h.count, h.positive),
        };
        self.0.push(format!("{} {}{{{}}} {} {what}", row.line, labels.name(), rest.join(","), row.at_ms));
        Ok(())
    }
}

fn seen(form: Form, text: &str) -> (Vec<String>, Vec<(u64, String)>) {
    let (mut faults, mut seen) = (Faults::default(), Seen::default());
    read_text(form, text.as_bytes(), &mut faults, &mut seen).expect("memory can be read");
    (seen.0, faults.told)
}

#[test]
fn the_class_is_finished_and_written_back_as_it_was() {
    assert_eq!(unfinished(&kernel::define::class::<SeriesImport>(Verb::Kernel)), Vec::<String>::new());
    assert_eq!(round_trip::<SeriesImport>(Verb::Kernel), Ok(()));
}

#[test]
fn the_same_samples_are_read_from_every_form() {
    let csv = "metric,labels,time,value\n\"up\",\"{\"\"job\"\":\"\"a\"\"}\",1970-01-01T00:00:01.5Z,1\n\
               \"'=x\",\"{}\",2000,-2.5\nup,\"{\"\"job\"\":\"\"a\"\"}\",3000,NaN\nup,,4000,+Inf\n";
    let expected = ["2 up{job=a} 1500 1", "3 =x{} 2000 -2.5", "4 up{job=a} 3000 NaN", "5 up{} 4000 inf"];
    assert_eq!(seen(Form::Csv, csv), (expected.map(str::to_owned).to_vec(), Vec::new()));
    let turned = "value,time,labels,metric\r\n1,1500,\"{\"\"job\"\":\"\"a\"\"}\",up\r\n";
    assert_eq!(seen(Form::Csv, turned).0, ["2 up{job=a} 1500 1"], "columns in any order");
    let lines = "{\"metric\":{\"__name__\":\"up\",\"job\":\"a\"},\"values\":[1,null,\"-Infinity\"],\"timestamps\":[1500,2000,2500]}\n\n";
    let expected = ["1 up{job=a} 1500 1", "1 up{job=a} 2000 NaN", "1 up{job=a} 2500 -inf"];
    assert_eq!(seen(Form::JsonLines, lines), (expected.map(str::to_owned).to_vec(), Vec::new()));
    let line = "{\"metric\":{\"__name__\":\"h\"},\"histograms\":[[1.5,{\"count\":\"3\",\"sum\":\"2\",\"buckets\":[[0,\"0.5\",\"1\",\"2\"],[0,\"1\",\"2\",\"1\"]]}]]}\n";
    assert_eq!(
        seen(Form::JsonLines, line),
        (vec!["1 h{} 1500 schema 0 count 3 [(0, 2.0), (1, 1.0)]".to_owned()], Vec::new())
    );
    let table = "metric,labels,time,value,histogram\nup,,1500,1,\nh,,1500,,\"{\"\"count\"\":\"\"3\"\",\"\"sum\"\":\"\"2\"\",\"\"buckets\"\":[[0,\"\"0.5\"\",\"\"1\"\",\"\"2\"\"],[0,\"\"1\"\",\"\"2\"\",\"\"1\"\"]]}\"\n";
    assert_eq!(
        seen(Form::Csv, table),
        (vec!["2 up{} 1500 1".to_owned(), "3 h{} 1500 schema 0 count 3 [(0, 2.0), (1, 1.0)]".to_owned()], Vec::new())
    );
    let line = "{ \"values\" : [ 123456789.123456789 , 1e300 ] ,\"timestamps\":[1,2], \"metric\":{\"__name__\":\"a:b\",\"x\":\"]},{\\\"\"} }\n";
    let expected = [
        format!("1 a:b{{x=]}},{{\"}} 1 {}", "123456789.123456789".parse::<f64>().expect("a number")),
        format!("1 a:b{{x=]}},{{\"}} 2 {}", 1e300),
    ];
    assert_eq!(
        seen(Form::JsonLines, line),
        (expected.to_vec(), Vec::new()),
        "the very floats, whatever stands around them"
    );
    let page = "# TYPE up gauge\nup{job=\"a\"} 1 1.5\n# HELP up x\nup 2 2 # {t=\"x\"} 1\n# EOF\n";
    let expected = ["2 up{job=a} 1500 1", "4 up{} 2000 2"];
    assert_eq!(seen(Form::OpenMetrics, page), (expected.map(str::to_owned).to_vec(), Vec::new()));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let head = "metric,labels,time,value\n";
    for (form, text, line, why) in [
        (Form::Csv, "name,value\n".to_owned(), 1, "columns metric"),
        (Form::Csv, String::new(), 1, "columns metric"),
        (Form::Csv, format!("{head}up,{{}},1,1\nup,{{}},noon,1\n"), 3, "time: \"noon\""),
        (Form::Csv, format!("{head}up,{{}},1,one\n"), 2, "value: \"one\""),
        (Form::Csv, format!("{head}up,x,1,1\n"), 2, "labels: no JSON"),
        (Form::Csv, format!("{head}up,{{}},1\n"), 2, "field"),
        (Form::Csv, format!("{head},{{}},1,1\n"), 2, "at least one label"),
        (Form::Csv, format!("{head},\"{{\"\"a\"\":\"\"b\"\"}}\",1,1\n"), 2, "no name"),
        (Form::Csv, format!("{head}up,\"{{\"\"__name__\"\":\"\"x\"\"}}\",1,1\n"), 2, "column metric"),
        (Form::Csv, "metric,labels,time,value,histogram\nup,,1,,\n".to_owned(), 2, "value: \"\""),
        (Form::Csv, "metric,labels,time,value,histogram\nup,,1,1,{}\n".to_owned(), 2, "both a value and a histogram"),
        (Form::Csv, "metric,labels,time,value,histogram\nup,,1,,{}\n".to_owned(), 2, "histogram: missing field"),
        (Form::JsonLines, "{}\n".to_owned(), 1, "missing field metric"),
        (Form::JsonLines, "[1]\n".to_owned(), 1, "not a JSON object"),
        (
            Form::JsonLines,
            "{\"metric\":{\"__name__\":\"a\"},\"values\":[1],\"timestamps\":[1.5]}\n".to_owned(),
            1,
            "timestamps",
        ),
        (Form::JsonLines, "{\"metric\":{\"__name__\":\"a\"},\"value\":[1]}\n".to_owned(), 1, "unknown field"),
        (
            Form::JsonLines,
            "{\"metric\":{\"__name__\":\"a\"},\"values\":[[1]],\"timestamps\":[1]}\n".to_owned(),
            1,
            "no number",
        ),
        (
            Form::JsonLines,
            "\n{\"metric\":{\"__name__\":\"a\"},\"values\":[1],\"timestamps\":[]}\n".to_owned(),
            2,
            "1 values but 0",
        ),
        (Form::JsonLines, "{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[1]}\n".to_owned(), 1, "no name"),
        (Form::JsonLines, "{\"metric\":{\"__name__\":1},\"values\":[1],\"timestamps\":[1]}\n".to_owned(), 1, "texts"),
        (Form::JsonLines, "{\"metric\":{\"__name__\":\"a\"},\"histograms\":[[1,{}]]}\n".to_owned(), 1, "missing field"),
        (Form::OpenMetrics, "up 1 1\n".to_owned(), 1, "# EOF"),
        (Form::OpenMetrics, "up 1 1\nup 2\n# EOF\n".to_owned(), 2, "no time"),
        (Form::OpenMetrics, "up 1 1\nup{ 2 2\n# EOF\n".to_owned(), 2, ""),
        (Form::OpenMetrics, "up 1 1\n# EOF\nup 2 2\n".to_owned(), 3, "more after"),
    ] {
        let (_, faults) = seen(form, &text);
        let found = faults.iter().any(|(at, said)| *at == line && said.contains(why));
        assert!(found, "{form:?} {text:?}: {faults:?}");
    }
    let two = seen(Form::OpenMetrics, "up x 1\nup 1 1\nup y 2\n# EOF\n").1;
    assert_eq!(two.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 3], "reading goes on behind a fault");
}

#[test]
fn a_file_of_nothing_but_faults_is_read_to_its_end() {
    let mut faults = Faults::default();
    let text = format!("{}# EOF\n", "x\n".repeat(100_000));
    read_text(Form::OpenMetrics, text.as_bytes(), &mut faults, &mut Seen::default()).expect("memory can be read");
    assert_eq!((faults.count, faults.told[99].0), (100_000, 100));
}

#[test]
fn a_quote_that_is_not_closed_does_not_make_one_row_of_the_whole_file() {
    let text = format!("metric,labels,time,value\nup,,1,1\nup,\"{}", "a,b,1,1\n".repeat(3_000_000));
    let outcome = read_text(Form::Csv, text.as_bytes(), &mut Faults::default(), &mut Seen::default());
    let why = outcome.err().expect("it ends").to_string();
    assert!(why.starts_with("line 3: ") && why.contains("quote"), "{why}");
    let (_, faults) = seen(Form::Csv, &format!("metric,labels,time,value\nup,,{},1\n", "ü".repeat(1000)));
    assert!(faults[0].1.chars().count() <= 301, "what a file says is not said back in full: {}", faults[0].1);
}

/// Hands ten rows to an engine that is away so many times.
async fn stored_after(away: usize) -> (io::Result<u64>, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let (engine, _) =
        Engine::open(folder.path(), Options { clock: Arc::new(|| 1_000_000), ..Options::default() }).expect("it opens");
    let faulty = Arc::new(Faulty::new(engine, away));
    let (metrics, handle) = (faulty.clone(), tokio::runtime::Handle::current());
    let store = move || {
        let mut progress = |_| {};
        let mut storing = Storing::new(metrics, 1, handle, 100, &mut progress);
        let text = format!("metric,labels,time,value\n{}", "up,,1000000,1\n".repeat(10));
        let names = read_text(Form::Csv, text.as_bytes(), &mut Faults::default(), &mut storing)?;
        storing.flush(&names)?;
        Ok(storing.accepted)
    };
    // A thread of the runtime's own would keep the paused clock from going on.
    let (told, outcome) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || told.send(store()));
    (outcome.await.expect("it ends"), faulty.asked())
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_is_waited_for_but_not_for_ever() {
    let (stored, asked) = stored_after(5).await;
    assert_eq!((stored.expect("it is stored"), asked), (10, 6));
    let (stored, asked) = stored_after(usize::MAX).await;
    assert!(stored.expect_err("it ends").to_string().contains("no route"));
    assert!((10..100).contains(&asked), "{asked} times");
}

#[test]
fn faults_are_counted_and_the_first_hundred_are_told() {
    let mut faults = Faults::default();
    (1..=1000).for_each(|line| faults.put(line, "x"));
    assert_eq!((faults.count, faults.told.len()), (1000, 100));
}

/// A Parquet file as an export writes it, through the exporter's own code, is read back on the running program; here only that what
/// is none is told.
#[test]
fn what_is_no_parquet_is_told() {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"PAR1 nothing of the kind PAR1").expect("room");
    let mut faults = Faults::default();
    read(Form::Parquet, &file, &mut faults, &mut Seen::default()).expect("it can be read");
    assert!(faults.told[0].1.contains("Parquet"), "{:?}", faults.told);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_many_days_are_stored_and_the_same_again_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = 1_700_000_000_000_i64;
    let options = Options { clock: Arc::new(move || now), ..Options::default() };
    let (engine, _) = Engine::open(folder.path(), options).expect("it opens");
    let metrics: Arc<dyn Metrics> = Arc::new(Arc::new(engine));
    let mut text = String::from("metric,labels,time,value\n");
    for n in 0..3000_i64 {
        text.push_str(&format!("load,\"{{\"\"host\"\":\"\"h{}\"\"}}\",{},{n}\n", n % 3, now - n * 3_600_000));
    }
    // Another value at a time that there is already, and one of before everything that is kept.
    text.push_str(&format!(
        "load,\"{{\"\"host\"\":\"\"h0\"\"}}\",{now},77\nload,\"{{\"\"host\"\":\"\"h0\"\"}}\",1000,1\n"
    ));
    let handle = tokio::runtime::Handle::current();
    let store = {
        let metrics = metrics.clone();
        move || {
            let mut progress = |_| {};
            let mut storing = Storing::new(metrics.clone(), 1, handle.clone(), 100, &mut progress);
            let names = read_text(Form::Csv, text.as_bytes(), &mut Faults::default(), &mut storing).expect("text");
            storing.flush(&names).expect("it is stored");
            (storing.accepted, storing.refused.told)
        }
    };
    let twice = move || (store(), store());
    let (first, second) = tokio::task::spawn_blocking(twice).await.expect("it ends");
    assert_eq!(first.0, 3000);
    assert_eq!(first.1.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3003, 3002], "in the order of their days");
    assert_eq!(second, first, "the same file again changes nothing");
    let all = vec![vec![series::Matcher::eq(series::NAME, "load")]];
    let counted = metrics.count(1, all.clone(), (i64::MIN / 2, i64::MAX / 2)).await.expect("counted");
    assert_eq!((counted.series, counted.samples), (3, 3000));
    metrics.delete(1, all.clone(), (now - 999 * 3_600_000, now)).await.expect("deleted");
    let left = metrics.count(1, all, (i64::MIN / 2, i64::MAX / 2)).await.expect("counted");
    assert_eq!((left.series, left.samples), (3, 2000));
}
