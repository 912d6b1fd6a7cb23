//! Every parser of Mainstay by its name: bytes in, and nothing but an answer or an error may come of them. The one list
//! from which the fuzz targets are made and which the tests replay; what a parser returns is not looked at here.

use std::path::Path;

pub use of_probe::*;

#[path = "parsers/probe.rs"]
mod of_probe;

/// A parser that takes any bytes.
pub type Parser = fn(&[u8]);

/// All parsers. The name is that of its corpus in `fuzz/corpus` and of its target in `fuzz/targets`.
pub const ALL: &[(&str, Parser)] = &[
    ("filter", filter),
    ("span", span),
    ("schedule", schedule),
    ("user_class", user_class),
    ("cursor", cursor),
    ("calendar", calendar),
    ("apply", apply),
    ("import_cell", import_cell),
    ("probe_target", probe_target),
    ("probe_dns", probe_dns),
    ("probe_http", probe_http),
    ("probe_ntp", probe_ntp),
    ("probe_tls", probe_tls),
    ("probe_host", probe_host),
    ("probe_systemd", probe_systemd),
    ("probe_caches", probe_caches),
    ("probe_mail", probe_mail),
    ("probe_udp", probe_udp),
    ("probe_sweep", probe_sweep),
    ("probe_starter", probe_starter),
    ("probe_mdns", probe_mdns),
    ("probe_netbios", probe_netbios),
    ("probe_fingerprint", probe_fingerprint),
    ("probe_ssh", probe_ssh),
    ("probe_ssh_session", probe_ssh_session),
    ("probe_statsd", probe_statsd),
    ("probe_traceroute", probe_traceroute),
    ("probe_sql", probe_sql),
    ("probe_directory", probe_directory),
    ("probe_brokers", probe_brokers),
    ("probe_agents", probe_agents),
    ("receive_logs", receive_logs),
    ("receive_flows", receive_flows),
    ("receive_reports", receive_reports),
    ("probe_devices", probe_devices),
    ("probe_machines", probe_machines),
    ("probe_interfaces", probe_interfaces),
    ("receive_pushes", receive_pushes),
    ("probe_snmp", probe_snmp),
    ("probe_snmp_trap", probe_snmp_trap),
    ("probe_extract", probe_extract),
    ("edge_files", edge_files),
    ("edge_netlink", edge_netlink),
    ("edge_hands", edge_hands),
    ("series_log", series_log),
    ("series_lengths", series_lengths),
    ("series_block", series_block),
    ("series_remote_write", series_remote_write),
    ("series_exposition", series_exposition),
    ("series_families", series_families),
    ("series_otlp", series_otlp),
    ("series_lines", series_lines),
    ("signals_requests", signals_requests),
    ("signals_import", signals_import),
    ("promql", promql),
    ("rule_file", rule_file),
    ("rule_tests", rule_tests),
    ("rule_text", rule_text),
    ("relay_queue", relay_queue),
    ("relay_answer", relay_answer),
    ("scrape_page", scrape_page),
    ("scrape_config", scrape_config),
];

/// What a parser answered: computed, and not looked at.
fn answer<T>(value: T) {
    drop(std::hint::black_box(Some(value)));
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// The filter language: read, then compiled for a class.
pub fn filter(bytes: &[u8]) {
    let text = text(bytes);
    answer(kernel::filter::parse(&text));
    answer(kernel::filter::words_of(&text));
    let registry = registry();
    let now = kernel::Time::from_micros(1_800_000_000_000_000);
    for class in ["person", "tenant"] {
        let class = registry.class(class).expect("the kernel's own class");
        answer(kernel::filter::compile(&text, &class, registry, now));
        answer(kernel::filter::sort_key(&text, &class));
    }
}

/// Spans of time and moments.
pub fn span(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(span) = kernel::clock::parse_duration(&text) {
        let again = kernel::clock::parse_duration(&kernel::clock::format_duration(span));
        assert_eq!(again.map(|s| s.as_millis()), Ok(span.as_millis()), "{text:?} is read as it is written");
    }
    answer(probe::params::parse_span(bytes));
    kernel::Time::parse(&text);
    answer(edge::hands::duration(&text));
}

/// Schedules: `every 5m`, cron, recurrence rules. Those that are read have a next time within bounded work.
pub fn schedule(bytes: &[u8]) {
    let text = text(bytes);
    let (rule, zone) = text.split_once('\n').unwrap_or((&text, "UTC"));
    if let Ok(schedule) = kernel::schedule::Schedule::parse(rule, zone) {
        let now = kernel::Time::from_micros(1_800_000_000_000_000);
        if let Some(next) = schedule.next_after(now) {
            assert!(next > now, "{rule:?} goes forward");
        }
    }
}

/// Classes of users, as YAML.
pub fn user_class(bytes: &[u8]) {
    if let Ok(document) = yaml_serde::from_str(&text(bytes)) {
        answer(kernel::userclass::define("fuzzed", &document));
    }
}

/// Cursors of pages, as they come back in a URL.
pub fn cursor(bytes: &[u8]) {
    if let Some(cursor) = kernel::query::Cursor::decode(&text(bytes)) {
        assert_eq!(kernel::query::Cursor::decode(&cursor.encode()), Some(cursor), "a cursor is read as it is written");
    }
}

/// Business calendars.
pub fn calendar(bytes: &[u8]) {
    let spec: Result<kernel::calendar::CalendarSpec, _> = yaml_serde::from_str(&text(bytes));
    if let Ok(calendar) = spec.map_err(|_| ()).and_then(|spec| kernel::calendar::Calendar::new(&spec).map_err(|_| ())) {
        let now = kernel::Time::from_micros(1_800_000_000_000_000);
        answer(calendar.is_open(now));
        answer(calendar.next_open(now));
        answer(calendar.add(now, std::time::Duration::from_secs(86_400)));
    }
}

/// Documents of `mainstay apply`.
pub fn apply(bytes: &[u8]) {
    answer(api::apply::read(&text(bytes)));
}

/// Cells of an imported table.
pub fn import_cell(bytes: &[u8]) {
    let text = text(bytes);
    for class in registry().classes() {
        for field in &class.fields {
            answer(api::table::value(field, &text));
        }
    }
}

/// Files of a machine: packages, users, mounts, sockets, processes.
pub fn edge_files(bytes: &[u8]) {
    use edge::parse::{cgroup, colon, dpkg, hosts, mountinfo, os_release, passwd, sockets, stat, systemctl};
    answer(cgroup::unit(bytes));
    answer(colon::values(bytes, ["Name", "Pid"]));
    answer(colon::kilobytes(&text(bytes)));
    answer(dpkg::status(bytes));
    answer(dpkg::owns(bytes, &[Path::new("/usr/sbin/nginx")]));
    answer(hosts::canonical_name(bytes, "web-1"));
    answer(mountinfo::mounts(bytes));
    answer(os_release::fields(bytes));
    answer(passwd::users(bytes));
    answer(passwd::groups(bytes));
    answer(sockets::table(bytes, sockets::Protocol::Tcp));
    answer(sockets::past_listening(bytes));
    answer(stat::stat(bytes));
    answer(systemctl::blocks(bytes));
}

/// Answers of the kernel about addresses.
pub fn edge_netlink(bytes: &[u8]) {
    answer(edge::parse::netlink::is_last(bytes));
    answer(edge::parse::netlink::addresses(bytes));
}

/// Allow lists, and templates of argument vectors.
pub fn edge_hands(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(list) = edge::hands::AllowList::parse(&text) {
        answer(list.permits(&[text.to_string()]));
    }
    let argv: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut parameters = serde_json::Map::new();
    parameters.insert("unit".into(), text.to_string().into());
    if let Ok(rendered) = edge::hands::render(&argv, &parameters) {
        assert_eq!(rendered.len(), argv.len(), "a value never becomes another argument");
    }
}

/// A segment of the log of samples, found on the disk.
pub fn series_log(bytes: &[u8]) {
    series_file("wal/0000000001.wal", bytes);
}

/// The list of how long the segments of the log are, found on the disk.
pub fn series_lengths(bytes: &[u8]) {
    series_file("wal/lengths", bytes);
}

/// A sealed file of chunks, found on the disk.
pub fn series_block(bytes: &[u8]) {
    series_file("blocks/1795248000000.1.blk", bytes);
}

/// A query: read, written and read again, and answered from a few samples within narrow limits.
pub fn promql(bytes: &[u8]) {
    use series::promql::{Limits, MemorySource, Metric, Query, Settings};
    let Ok(query) = Query::parse(&text(bytes)) else { return };
    let written = query.formatted();
    let again = Query::parse(&written).expect("a query that was written can be read");
    assert_eq!(written, again.formatted(), "a query written again stays as it is");
    let mut source = MemorySource::default();
    for (name, job) in [("a", "x"), ("a", "y"), ("b", "x")] {
        let metric = Metric::new([("__name__", name), ("job", job)]);
        (0..20_u32).for_each(|at| source.push(&metric, i64::from(at) * 15_000, f64::from(at % 7)));
    }
    let limits = Limits { max_samples: 20_000, max_bytes: 1 << 24, ..Limits::default() };
    answer(query.instant(&source, 300_000, &Settings::default(), &limits));
    answer(query.range(&source, (0, 300_000, 30_000), &Settings::default(), &limits));
}

/// Verifies a folder of samples that holds one file, as it is and with every checksum made to fit: whatever is in it is
/// counted, told as damage, or both.
fn series_file(name: &str, bytes: &[u8]) {
    verify(name, bytes);
    verify(name, &resealed(bytes));
}

/// Frames are `magic, length, checksum, payload`. A checksum that never fits would hide what reads the payload.
fn resealed(bytes: &[u8]) -> Vec<u8> {
    const MAGIC: &[u8] = b"\xf5MsF";
    let mut sealed = bytes.to_vec();
    let mut at = 0;
    while let Some(frame) = sealed.get(at..at + 16) {
        let length = <[u8; 4]>::try_from(&frame[4..8]).expect("four bytes");
        let end = at + 16 + usize::try_from(u32::from_le_bytes(length)).expect("a length");
        if frame.starts_with(MAGIC) && end <= sealed.len() {
            let mut sum = xxhash_rust::xxh3::Xxh3Default::new();
            sum.update(&length);
            sum.update(&sealed[at + 16..end]);
            let sum = sum.digest().to_le_bytes();
            sealed[at + 8..at + 16].copy_from_slice(&sum);
            at = end;
        } else {
            at += 1;
        }
    }
    sealed
}

fn verify(name: &str, bytes: &[u8]) {
    // In memory where there is such a place: what is tried is the reader, not the disk, which takes ten times as long.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder");
    for part in ["wal", "blocks"] {
        std::fs::create_dir(folder.path().join(part)).expect("a folder of ours");
    }
    std::fs::write(folder.path().join(name), bytes).expect("a folder of ours");
    answer(series::verify_directory(folder.path()));
}

/// Remote write of both versions: compressed, and as if it had been.
pub fn series_remote_write(bytes: &[u8]) {
    use series::formats::remote_write::{Version, decode, decode_plain};
    for version in [Version::One, Version::Two] {
        batch(decode(version, bytes, format_limits()));
        batch(decode_plain(version, bytes.to_vec(), format_limits()));
    }
}

/// Pages that are scraped.
pub fn series_exposition(bytes: &[u8]) {
    batch(series::formats::exposition::decode(bytes, 1_800_000_000_000, format_limits()));
    batch(series::formats::openmetrics::decode(bytes, 1_800_000_000_000, format_limits()));
}

/// Metric families in protocol buffers.
pub fn series_families(bytes: &[u8]) {
    batch(series::formats::families::decode(
        bytes,
        1_800_000_000_000,
        series::formats::families::Buckets::Both,
        format_limits(),
    ));
}

/// OpenTelemetry metrics in both encodings.
pub fn series_otlp(bytes: &[u8]) {
    batch(series::formats::otlp::decode(bytes, format_limits()));
    batch(series::formats::otlp::decode_json(bytes, format_limits()));
}

/// Line protocols: Influx, Graphite, StatsD.
pub fn series_lines(bytes: &[u8]) {
    use series::formats::{graphite, influx, statsd};
    batch(influx::decode(bytes, influx::Precision::Milliseconds, 1_800_000_000_000, format_limits()));
    batch(graphite::decode(bytes, 1_800_000_000_000, format_limits()));
    batch(statsd::decode(bytes, 1_800_000_000_000, format_limits()));
}

/// A file of samples to import, as CSV, JSON lines and OpenMetrics.
pub fn signals_import(bytes: &[u8]) {
    signals::untrusted::import(bytes);
}

/// What a request for or with measurements may hold beside its samples.
pub fn signals_requests(bytes: &[u8]) {
    signals::untrusted::read(bytes);
}

fn format_limits() -> series::formats::Limits {
    series::formats::Limits { bytes: 1 << 20, series: 10_000, samples: 10_000, extras: 1_000 }
}

/// Every series of a batch has its own points, and none is shared or lost.
fn batch(decoded: Result<series::formats::Batch, series::formats::FormatError>) {
    if let Ok(batch) = decoded {
        let points: usize = batch.series().map(|s| s.points.len()).sum();
        assert_eq!(points + batch.histograms.len(), batch.samples(), "each point belongs to one series");
    }
}

/// The classes that the kernel itself brings.
fn registry() -> &'static kernel::Registry {
    static REGISTRY: std::sync::OnceLock<kernel::Registry> = std::sync::OnceLock::new();
    REGISTRY
        .get_or_init(|| kernel::Registry::new(vec![kernel::own::domain()]).expect("the kernel's classes fit together"))
}

/// Rule files of Prometheus; what is read is written back and read again.
pub fn rule_file(bytes: &[u8]) {
    let read = |text: &str| watch::rules::file::import(text, &mut std::collections::BTreeSet::new());
    if let Ok(rules) = read(&text(bytes)) {
        let rules: Vec<_> = rules.into_iter().map(|one| (one.key, one.rule)).collect();
        answer(watch::rules::file::export(&rules).map(|text| read(&text)));
    }
}

/// Unit tests of rules, and the samples in them.
pub fn rule_tests(bytes: &[u8]) {
    answer(watch::rules::unit::parse(&text(bytes)));
    answer(series::promql::notation::series_line(&text(bytes)));
}

/// The texts of alerts, read and filled in.
pub fn rule_text(bytes: &[u8]) {
    use watch::rules::template::{Fill, Template};
    if let Ok(template) = Template::parse(&text(bytes)) {
        answer(template.fill(&Fill { value: 1.5, external_url: "http://localhost", ..Fill::default() }));
    }
}

/// The files of the relay's queue.
pub fn relay_queue(bytes: &[u8]) {
    answer(signals::relay::parsers::queue_file(bytes));
    answer(signals::relay::parsers::cursors(bytes));
}

/// What an engine elsewhere answers.
pub fn relay_answer(bytes: &[u8]) {
    answer(signals::relay::parsers::answer(bytes));
}

/// A page of a target, as it comes and as it comes again.
pub fn scrape_page(bytes: &[u8]) {
    answer(signals::scrape::parsers::page(bytes));
}

/// A scrape configuration, and a list of targets.
pub fn scrape_config(bytes: &[u8]) {
    answer(signals::scrape::parsers::config(bytes));
    answer(signals::scrape::parsers::targets(bytes));
}
