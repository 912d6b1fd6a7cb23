//! What the starter promises, with the real process: this test program run once more, as a server runs itself once more.

use std::io;
use std::time::{Duration, Instant};

use super::{OUTPUT_LIMIT_BYTES, Starter};
use crate::env::Ran;

const SECONDS_10: Duration = Duration::from_secs(10);

/// Among the names of the tests to run, this says that a starter is wanted; no test has it.
const WANTED: &str = "as-a-starter";

/// The starter's process of the tests below; among all others it does nothing.
#[test]
fn be_a_starter() {
    if std::env::args().any(|word| word == WANTED) {
        let _ = super::serve();
    }
}

fn starter() -> Starter {
    Starter::of_this_program(&["--exact", "starter::promises::be_a_starter", WANTED, "--nocapture"])
}

async fn sh(starter: &Starter, script: &str, within: Duration) -> io::Result<Ran> {
    starter.run(&["sh"], &["-c", script], within).await
}

#[tokio::test]
async fn a_command_gets_its_arguments_as_they_are_and_tells_what_it_did() {
    let starter = starter();
    let programs = ["/nowhere/printf", "printf"];
    let ran = starter.run(&programs, &["%s|", "a b", "$HOME", ";ls"], SECONDS_10).await.unwrap();
    assert_eq!((ran.code, ran.stdout.as_slice()), (Some(0), &b"a b|$HOME|;ls|"[..]));
    let ran = sh(&starter, "echo out; echo err >&2; exit 3", SECONDS_10).await.unwrap();
    assert_eq!((ran.code, &ran.stdout[..], &ran.stderr[..]), (Some(3), &b"out\n"[..], &b"err\n"[..]));
    let ran = sh(&starter, "kill -TERM $$", SECONDS_10).await.unwrap();
    assert_eq!(ran.code, None, "ended by a signal");
    let ran = sh(&starter, "cat; env; pwd; ls -l /proc/self/fd", SECONDS_10).await.unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(said.contains("LC_ALL=C") && said.contains("\n/\n"), "{said}");
    assert!(said.contains("0 -> /dev/null") && !said.contains("socket:"), "nothing of the server's is open: {said}");
    assert_eq!(starter.starts(), 1);
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let starter = starter();
    let why = starter.run(&["/nowhere/a", "no-such-program"], &[], SECONDS_10).await.unwrap_err();
    assert_eq!(why.kind(), io::ErrorKind::NotFound);
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("check_x");
    let path = plugin.to_str().unwrap();
    std::fs::write(&plugin, "#!/nowhere/interpreter\n").unwrap();
    let why = starter.run(&[path], &[], SECONDS_10).await.unwrap_err();
    assert_eq!(why.kind(), io::ErrorKind::PermissionDenied, "{why}");
    std::fs::set_permissions(&plugin, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let why = starter.run(&[path], &[], SECONDS_10).await.unwrap_err();
    assert!(why.kind() != io::ErrorKind::NotFound && why.to_string().contains("interpreter"), "{why}");
}

#[tokio::test]
async fn a_command_has_its_limits_of_time_output_memory_and_cpu() {
    let starter = starter();
    let ran = starter.run(&["yes"], &[], SECONDS_10).await.unwrap();
    assert_eq!((ran.stdout.len() as u64, ran.code), (OUTPUT_LIMIT_BYTES, None));
    let why = sh(&starter, "sleep 60", Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(why.kind(), io::ErrorKind::TimedOut);
    // dd takes its block size in memory.
    let argv = ["if=/dev/zero", "of=/dev/null", "bs=3G", "count=1"];
    let ran = starter.run(&["dd"], &argv, SECONDS_10).await.unwrap();
    assert_ne!(ran.code, Some(0));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("memory"), "{:?}", String::from_utf8_lossy(&ran.stderr));
    let ran = sh(&starter, "sleep 0.2; ulimit -t; ulimit -v; ulimit -c", Duration::from_secs(7)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "8\n1048576\n0\n");
    let ran = sh(&starter, "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done", SECONDS_10).await.unwrap();
    let cost = ran.cost.unwrap();
    assert!((Duration::from_millis(5)..SECONDS_10).contains(&cost.cpu), "{cost:?}");
    assert!((100 << 10..100 << 20).contains(&cost.memory_bytes), "{cost:?}");
}

#[tokio::test]
async fn output_that_just_fits_and_output_in_pieces_is_whole() {
    let starter = starter();
    let ran = sh(&starter, "head -c 65536 /dev/zero; echo done >&2", SECONDS_10).await.unwrap();
    assert_eq!((ran.stdout.len(), &ran.stderr[..]), (65_536, &b"done\n"[..]));
    let ran = sh(&starter, "echo a; sleep 0.2; echo b; sleep 0.2; echo c", SECONDS_10).await.unwrap();
    assert_eq!((ran.code, &ran.stdout[..]), (Some(0), &b"a\nb\nc\n"[..]));
}

#[expect(clippy::disallowed_methods, reason = "how long real processes take is what is promised")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test]
async fn no_command_waits_for_another_and_none_outlives_its_end() {
    let starter = std::sync::Arc::new(starter());
    let begun = now();
    let marker = format!("87{}", std::process::id());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let starter = starter.clone();
        tasks.spawn(async move { sh(&starter, "sleep 0.5", SECONDS_10).await.unwrap().code });
    }
    // What goes on in the background holds the pipes, and nobody waits for it.
    let script = format!("sleep {marker} & echo said");
    let ran = sh(&starter, &script, SECONDS_10).await.unwrap();
    assert_eq!((ran.code, &ran.stdout[..]), (Some(0), &b"said\n"[..]));
    // One that is given up is ended with what it started.
    let script = format!("sleep {marker} & sleep {marker}");
    assert!(tokio::time::timeout(Duration::from_millis(300), sh(&starter, &script, SECONDS_10)).await.is_err());
    while let Some(code) = tasks.join_next().await {
        assert_eq!(code.unwrap(), Some(0));
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "forty at once, not in turn: {:?}", begun.elapsed());
    for _ in 0..500 {
        if count(&marker) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await; // polls: all of them have ended
    }
    panic!("{} are left", count(&marker));
}

/// Processes that sleep for that long.
fn count(marker: &str) -> usize {
    let wanted = format!("sleep\0{marker}\0");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter(|one| std::fs::read(one.path().join("cmdline")).is_ok_and(|line| line == wanted.as_bytes())).count()
}

#[tokio::test]
async fn a_starter_that_dies_is_told_and_started_anew() {
    let starter = starter();
    starter.start().unwrap();
    let pid = starter.pid().unwrap();
    let killed = async {
        tokio::time::sleep(Duration::from_millis(200)).await; // dawdles: the command is on its way
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    };
    let (ran, ()) = tokio::join!(sh(&starter, "sleep 3", SECONDS_10), killed);
    let why = ran.unwrap_err().to_string();
    assert!(why.contains("signal: 9") && why.contains("started anew"), "{why}");
    assert_eq!(sh(&starter, "exit 1", SECONDS_10).await.unwrap().code, Some(1));
    assert_eq!(starter.starts(), 2);
    assert_ne!(starter.pid(), Some(pid));
    starter.end().await;
    assert_eq!(starter.pid(), None);
}
