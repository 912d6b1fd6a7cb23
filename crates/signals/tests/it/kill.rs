//! Our process is killed while it queues; what it acknowledged is in the other engine in the end.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use series::promql::{Limits, Query};
use series::{Metrics, system_clock};

use crate::peers::{self, Kind, until};
use crate::relay::{batch, remote, vector};

const CHILD: &str = "MAINSTAY_TEST_RELAY";

/// Not a test by itself: the process that is killed.
#[tokio::test]
async fn the_relay_that_is_killed_acknowledges_what_is_on_disk() {
    #[expect(clippy::disallowed_methods, reason = "how the parent of this process names its part")]
    let Ok(told) = std::env::var(CHILD) else { return };
    let mut words = told.splitn(3, ' ');
    let (first, url, dir) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let remote = remote(std::path::Path::new(dir), url);
    let now = system_clock()();
    for n in first.parse::<u64>().unwrap().. {
        let page: String = (0..20).map(|i| format!("kill{{n=\"{n}\",i=\"{i}\"}} {n} {now}\n")).collect();
        remote.write(1, batch(&page)).await.unwrap();
        println!("acknowledged {n}");
    }
}

async fn a_kill_loses_nothing(kind: Kind) {
    let (dir, port) = (tempfile::tempdir().unwrap(), peers::free_port());
    let url = format!("http://127.0.0.1:{port}");
    let _peer = peers::engine(kind, dir.path(), port).await;
    let queue = dir.path().join("relay");
    let (mut next, mut acknowledged) = (0_u64, Vec::new());
    for round in 0..6 {
        #[expect(clippy::disallowed_methods, reason = "only a process of its own can be killed")]
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["kill::the_relay_that_is_killed_acknowledges_what_is_on_disk", "--exact", "--nocapture"])
            .env(CHILD, format!("{next} {url} {}", queue.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stop = next + 15 + (round * 37) % 60;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some((_, n)) = line.split_once("acknowledged ") else { continue };
            acknowledged.push(n.trim().parse::<u64>().unwrap());
            if acknowledged.last().is_some_and(|n| *n >= stop) {
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        next = acknowledged.last().unwrap() + 2; // The one in between may be there or not.
    }
    let remote = remote(&queue, &url);
    let at = system_clock()();
    until("everything that was acknowledged has arrived", async || {
        let asked = remote
            .instant(1, Query::parse("count by (n) (last_over_time(kill[5m]))").unwrap(), at, Limits::default())
            .await
            .ok()?;
        let found = vector(asked);
        acknowledged.iter().all(|n| found.get(&format!("n={n}")) == Some(&20.0)).then_some(())
    })
    .await;
    assert_eq!(remote.delivered().1, 0, "nothing was dropped");
    assert!(acknowledged.len() > 100);
}

#[tokio::test]
async fn a_kill_while_queueing_for_prometheus_loses_nothing() {
    a_kill_loses_nothing(Kind::Prometheus).await;
}

#[tokio::test]
async fn a_kill_while_queueing_for_victoria_metrics_loses_nothing() {
    a_kill_loses_nothing(Kind::VictoriaMetrics).await;
}
