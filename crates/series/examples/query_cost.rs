//! What queries cost: time and samples of the usual dashboards over ten thousand series in memory. A tool for those who
//! change the evaluation; it promises nothing and writes no file.
//!
//! `cargo run --release -p series --example query_cost`

use series::Labels;
use series::promql::{Limits, MemorySource, Metric, Query, Select, Selected, Settings, Source};

const SERIES: usize = 10_000;
const STEP_MS: i64 = 15_000;
const SAMPLES: i64 = 240;

/// Hands out copies of what it was made with, so that the store's own cost is that of a copy.
struct Ready(Selected);

impl Source for Ready {
    fn select(&self, what: &Select<'_>) -> Result<Selected, series::SeriesError> {
        let most =
            what.matchers.iter().find(|m| m.name() == "only").and_then(|m| m.value().parse().ok()).unwrap_or(SERIES);
        Ok(Selected { series: self.0.series[..most].to_vec(), warnings: Vec::new() })
    }
}

fn ready() -> Result<Ready, Box<dyn std::error::Error>> {
    let mut source = MemorySource::default();
    for series in 0..SERIES {
        let (host, job, mode) =
            (format!("host-{series:05}"), format!("job-{}", series % 20), format!("m{}", series % 8));
        let pairs = [("instance", host.as_str()), ("job", &job), ("mode", &mode), ("zone", "a"), ("cluster", "main")];
        let metric = Metric::from(Labels::metric("cpu_seconds_total", &pairs)?);
        for step in 0..SAMPLES {
            source.push(&metric, step * STEP_MS, (step * 7 + i64::try_from(series)? % 13) as f64 * 0.25);
        }
    }
    let name = series::Matcher::eq("__name__", "cpu_seconds_total");
    let end = SAMPLES * STEP_MS;
    let all = Select {
        matchers: &[name],
        from_ms: 0,
        to_ms: end,
        step_ms: 0,
        range_ms: 0,
        function: None,
        newest: false,
        most_samples: 0,
        along: None,
    };
    Ok(Ready(source.select(&all)?))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let source = ready()?;
    let end = SAMPLES * STEP_MS - STEP_MS;
    let queries = [
        r#"cpu_seconds_total{only="1000"}"#,
        r#"sum by (job) (rate(cpu_seconds_total{only="1000"}[5m]))"#,
        "sum by (job) (rate(cpu_seconds_total[5m]))",
        "topk(10, rate(cpu_seconds_total[5m]))",
        "avg_over_time(cpu_seconds_total[5m])",
        "cpu_seconds_total / on (instance, mode) cpu_seconds_total",
        "max_over_time(rate(cpu_seconds_total{only=\"100\"}[5m])[30m:1m])",
    ];
    println!("{:>10} {:>12} {:>10}  query over 1 h every 15 s, {SERIES} series", "ms", "samples", "instant ms");
    for text in queries {
        let query = Query::parse(text)?;
        let (settings, limits) = (Settings::default(), Limits::default());
        let mut best = [f64::INFINITY; 2];
        let mut samples = 0;
        for _ in 0..3 {
            let range =
                timed(|| query.range(&source, (0, end, STEP_MS), &settings, &limits).map(|a| samples = a.samples));
            let instant = timed(|| query.instant(&source, end, &settings, &limits).map(|_| ()));
            best = [best[0].min(range?), best[1].min(instant?)];
        }
        println!("{:>10.1} {samples:>12} {:>10.1}  {text}", best[0], best[1]);
    }
    Ok(())
}

/// Milliseconds that a query takes.
fn timed(run: impl FnOnce() -> Result<(), series::promql::QueryError>) -> Result<f64, series::promql::QueryError> {
    #[expect(clippy::disallowed_methods, reason = "this measures real work")]
    let start = std::time::Instant::now();
    run()?;
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}
