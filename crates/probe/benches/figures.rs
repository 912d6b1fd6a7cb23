//! What checks, sweeps, plugins and decoders cost here. `bench/probe` runs it beside the peers and prints the ratios; each part
//! prints one line of JSON. CPU is that of this process alone: the sink that answers is a process of its own.

#![expect(clippy::disallowed_methods, reason = "starts processes and reads the clock to measure them")]

use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use probe::receive::{netflow, syslog, zabbix};
use probe::schedule::{Budget, Limits, Pace, Plan, Scheduler};
use probe::starter::{Starter, serve};
use probe::sweep::{EchoPlan, echo_sweep, parse_addresses};
use probe::{Env, Prepared, Request, prepare};
use serde_json::json;
use wait4::Wait4;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |at: usize, usual: f64| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(usual);
    match words.first().map(String::as_str) {
        Some("sink") => sink(),
        Some("tcp") => tcp(number(1, 20_000.0) as usize, number(2, 1.0), number(3, 15.0)),
        Some("sweep") => sweep(words.get(1).map_or("127.1.0.0/16", String::as_str)),
        Some("plugin") => plugin(number(1, 3000.0) as u32, number(2, 0.0) as usize, number(3, 1.0) as u32),
        Some("plugin-by") => {
            let way = words.get(1).map_or("", String::as_str);
            plugin_by(way, number(2, 1.0) as u32, number(3, 0.0) as usize, number(4, 1.0) as u32)
        }
        Some("starter") => Ok(serve()?),
        Some("page") => page(),
        Some("scrape") => scrape(number(1, 2000.0) as u32),
        Some("intake") => intake(),
        // `cargo bench` and `cargo test --benches` run a short form of each.
        _ => {
            tcp(500, 1.0, 3.0)?;
            plugin(20, 0, 2)?;
            scrape(20)?;
            sweep("127.1.0.0/22")?;
            intake()
        }
    }
}

/// Accepts and hangs up, for checks to connect to.
fn sink() -> Outcome {
    let listener = std::net::TcpListener::bind("0.0.0.0:0")?;
    println!("{}", listener.local_addr()?.port());
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let listener = listener.try_clone();
            std::thread::spawn(move || {
                if let Ok(listener) = listener {
                    listener.incoming().for_each(drop);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| drop(thread.join()));
    Ok(())
}

/// A process of this program with that word, and the port that it says.
fn peer(word: &str) -> Result<(std::process::Child, u16), Box<dyn Error>> {
    let mut peer = Command::new(std::env::current_exe()?).arg(word).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(peer.stdout.take().ok_or("the peer's output is ours")?).read_line(&mut line)?;
    Ok((peer, line.trim().parse()?))
}

/// So many tcp checks, each every so many seconds, on two threads.
fn tcp(checks: usize, interval: f64, seconds: f64) -> Outcome {
    let (mut sink, port) = peer("sink")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let measured = runtime.block_on(async {
        let limits = Limits { in_flight: 4096, site: Budget::of(4096), ..Limits::default() };
        let scheduler = Scheduler::new(Env::real(), limits, Arc::new(()));
        let pace = Pace { first_within: Duration::from_secs_f64(interval), ..Pace::every(Duration::from_secs_f64(interval)) };
        for id in 0..checks {
            // A host each, as in real life: one address has not enough ports for all of them.
            let target = format!("127.2.{}.{}:{port}", id / 250, id % 250 + 1);
            let request = Request { protocol: "tcp".into(), target, params: json!({}), timeout: Duration::from_secs(5) };
            scheduler.put(id as u128, &Plan { request, pace, site: String::new(), paused: false }).map_err(|errors| errors[0].clone())?;
        }
        let running = scheduler.clone();
        let task = tokio::spawn(async move { running.run().await });
        // polls: a rate is measured over time, and this is the time.
        tokio::time::sleep(Duration::from_secs_f64(2.0 * interval + 1.0)).await;
        scheduler.reset_lag();
        let (before, cpu, begun) = (scheduler.figures(), cpu_seconds()?, Instant::now());
        // polls: as above.
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        let (after, cpu, took) = (scheduler.figures(), cpu_seconds()? - cpu, begun.elapsed().as_secs_f64());
        task.abort();
        let asked = (after.asked - before.asked) as f64;
        println!(
            "{}",
            json!({"part": "tcp", "checks": checks, "asked_per_second": asked / took, "cpu_us_per_check": cpu / asked * 1e6,
                "lag_p50_seconds": after.lag.p50_seconds, "lag_p99_seconds": after.lag.p99_seconds,
                "left_out": after.left_out - before.left_out, "rss_mb": rss_mb()?})
        );
        Ok::<(), Box<dyn Error>>(())
    });
    sink.kill()?;
    sink.wait()?;
    measured
}

fn sweep(network: &str) -> Outcome {
    let addresses = parse_addresses(network.as_bytes())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let plan = EchoPlan { per_second: None, patience: Duration::from_millis(200), again: 0 };
    let (cpu, begun) = (cpu_seconds()?, Instant::now());
    let swept = runtime.block_on(async {
        let env = Env::real();
        echo_sweep(&env, &addresses, plan, &mut |_, _| {}).await
    })?;
    let (cpu, took) = (cpu_seconds()? - cpu, begun.elapsed().as_secs_f64());
    let hosts = addresses.len() as f64;
    println!(
        "{}",
        json!({"part": "sweep", "hosts": hosts, "replied": swept.replied.len(), "hosts_per_second": hosts / took,
            "cpu_us_per_host": cpu / hosts * 1e6})
    );
    Ok(())
}

/// A plugin through the check (by a starter, and from the asking process itself) beside the same plugin's own fork and exec:
/// started and waited for by the standard library alone. Each turn of each is a process of its own with so many files open;
/// what it and its children used is what the kernel says when it has ended, less what such a process uses that runs nothing.
/// Of either way `at_once` run at a time: as many tasks that ask, as many threads that wait for their own.
fn plugin(rounds: u32, files: usize, at_once: u32) -> Outcome {
    const TURNS: u32 = 6;
    let each = (rounds / TURNS / at_once).max(1);
    let mut used = [0.0; 4];
    // A turn is short, so that a neighbour's load falls on all of them.
    for _ in 0..TURNS {
        for (used, by) in used.iter_mut().zip(["starter", "itself", "bare", "nothing"]) {
            let words = ["plugin-by", by, &each.to_string(), &files.to_string(), &at_once.to_string()];
            let cost = Command::new(std::env::current_exe()?).args(words).spawn()?.wait4()?;
            assert!(cost.status.success(), "{by}: {}", cost.status);
            *used += (cost.rusage.utime + cost.rusage.stime).as_secs_f64();
        }
    }
    let [starter, itself, bare, _] = used.map(|seconds| (seconds - used[3]) / f64::from(each * at_once * TURNS) * 1e3);
    println!(
        "{}",
        json!({"part": "plugin", "files": files, "at_once": at_once, "cpu_ms_per_check": starter, "itself_cpu_ms": itself, "bare_cpu_ms": bare,
            "ratio": starter / bare, "itself_ratio": itself / bare})
    );
    Ok(())
}

/// So many rounds of each of those that run at once.
fn plugin_by(way: &str, rounds: u32, files: usize, at_once: u32) -> Outcome {
    let request = Request {
        protocol: "plugin".into(),
        target: "check_dummy".into(),
        params: json!({"arguments": ["0", "ok"]}),
        timeout: Duration::from_secs(10),
    };
    let prepared = prepare(&request).map_err(|errors| errors[0].clone())?;
    let _open: Vec<_> = (0..files).map(|_| std::fs::File::open("/dev/null")).collect::<Result<_, _>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match way {
        "starter" => runtime.block_on(async {
            let process = Arc::new(Starter::of_this_program(&["starter"]));
            ask_at_once(prepared, &Env::real().started_by(process.clone()), rounds, at_once).await?;
            process.end().await;
            Ok::<(), Box<dyn Error>>(())
        })?,
        "itself" => runtime.block_on(ask_at_once(prepared, &Env::real(), rounds, at_once))?,
        "bare" => std::thread::scope(|threads| {
            let run = || {
                let mut command = Command::new("/usr/lib/nagios/plugins/check_dummy");
                command.args(["0", "ok"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                assert!(command.status().is_ok_and(|status| status.success()));
            };
            for _ in 0..at_once {
                threads.spawn(move || (0..rounds).for_each(|_| run()));
            }
        }),
        _ => {}
    }
    Ok(())
}

/// Serves a page of 1,000 series, as an exporter would, one connection after the other.
fn page() -> Outcome {
    let mut text = String::new();
    for family in 0..100 {
        writeln!(text, "# HELP node_thing_{family}_total What it counts, said in a sentence.")?;
        writeln!(text, "# TYPE node_thing_{family}_total counter")?;
        for n in 0..10 {
            let value = family * 977 + n;
            writeln!(
                text,
                "node_thing_{family}_total{{cpu=\"{n}\",mode=\"system\",device=\"/dev/sda{n}\"}} {value}.25"
            )?;
        }
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    let answer = [head.as_bytes(), text.as_bytes()].concat();
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut asked = [0; 4096];
        // One write of a client is its whole request here.
        if stream.read(&mut asked)? > 0 {
            stream.write_all(&answer)?;
        }
    }
    Ok(())
}

/// A check of a page of 1,000 series, with a connection of its own each time, as the scheduler has it.
fn scrape(rounds: u32) -> Outcome {
    let (mut exporter, port) = peer("page")?;
    let request = Request {
        protocol: "prometheus".into(),
        target: format!("http://127.0.0.1:{port}/metrics"),
        params: json!({"min_samples": 1000}),
        timeout: Duration::from_secs(10),
    };
    let prepared = prepare(&request).map_err(|errors| errors[0].clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // In a task, as the scheduler runs it.
    let asked = runtime.spawn(async move {
        let env = Env::real();
        ask(&prepared, &env, rounds / 10 + 1).await;
        let begun = cpu_seconds().ok()?;
        ask(&prepared, &env, rounds).await;
        Some((cpu_seconds().ok()? - begun) / f64::from(rounds) * 1e3)
    });
    let cpu_ms = runtime.block_on(asked)?.ok_or("the kernel tells the time")?;
    exporter.kill()?;
    exporter.wait()?;
    println!("{}", json!({"part": "scrape", "series": 1000, "cpu_ms_per_check": cpu_ms}));
    Ok(())
}

/// In tasks, as the scheduler runs them.
async fn ask_at_once(prepared: Prepared, env: &Env, times: u32, at_once: u32) -> Outcome {
    let prepared = Arc::new(prepared);
    let tasks: Vec<_> = (0..at_once)
        .map(|_| {
            let (prepared, env) = (prepared.clone(), env.clone());
            tokio::spawn(async move { ask(&prepared, &env, times).await })
        })
        .collect();
    for task in tasks {
        task.await?;
    }
    Ok(())
}

async fn ask(prepared: &Prepared, env: &Env, times: u32) {
    for _ in 0..times {
        let outcome = prepared.run(env).await;
        assert_eq!(outcome.state, probe::State::Ok, "{}", outcome.summary);
    }
}

/// Decoders over what senders send, for half a CPU-second each.
fn intake() -> Outcome {
    let values: Vec<_> = (0..250)
        .map(|n| json!({"host": format!("web-{}", n % 10), "key": format!("disk.free[{n}]"), "value": format!("{}", n * 17), "clock": 1_795_000_000, "ns": n}))
        .collect();
    let frame =
        zabbix::frame(json!({"request": "sender data", "data": values, "clock": 1_795_000_000}).to_string().as_bytes());
    rate("zabbix values", 250, || {
        let content = zabbix::parse_frame(&frame)?.ok_or("a whole frame")?.0;
        black_box(zabbix::parse_asked(&content)?);
        Ok(())
    })?;
    let line = "<165>1 2026-11-21T08:15:30.123456Z web-1.example.org nginx 4711 ID47 [request@32473 id=\"9\" path=\"/a\"] GET /a 200 in 12 ms";
    rate("syslog lines", 1, || {
        black_box(syslog::parse_message(line)?);
        Ok(())
    })?;
    let mut datagram = vec![0, 5, 0, 30];
    datagram.extend([0; 20]);
    (0..30u8)
        .for_each(|flow| datagram.extend([192, 0, 2, flow].into_iter().chain([198, 51, 100, flow]).chain([1; 40])));
    let mut templates = netflow::Templates::default();
    rate("netflow records", 30, || {
        let export = netflow::parse_datagram(&datagram, &mut templates)?;
        assert_eq!(black_box(export).flows.len(), 30);
        Ok(())
    })
}

fn rate(what: &str, each: u64, mut decode: impl FnMut() -> Result<(), Box<dyn Error>>) -> Outcome {
    let begun = cpu_seconds()?;
    let mut count = 0;
    let mut took = 0.0;
    while took < 0.5 {
        for _ in 0..200 {
            decode()?;
        }
        count += 200 * each;
        took = cpu_seconds()? - begun;
    }
    println!("{}", json!({"part": "intake", "what": what, "per_cpu_second": count as f64 / took}));
    Ok(())
}

/// CPU seconds of this process.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9)
}

fn rss_mb() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("the kernel tells the memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
