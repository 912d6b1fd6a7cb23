//! Hands run real programs: arguments arrive verbatim, limits hold, nothing is left behind.

use std::path::Path;
use std::time::Duration;

use edge::RealSystem;
use edge::hands::{AllowError, AllowList, Command, Limits, StepResult, check_parameters, render, run};
use proptest::prelude::*;
use serde_json::{Map, json};

fn argv(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|argument| (*argument).to_owned()).collect()
}

/// A list for these tests. Runbooks have no shell; here one stands for a program that behaves badly, so it is allowed by full text.
fn allow(rules: &[&[&str]]) -> AllowList {
    let text: String = rules.iter().map(|rule| format!("allow: {}\n", json!(rule))).collect();
    AllowList::parse(&text).expect("a list")
}

async fn step(arguments: &[&str], timeout: Duration) -> StepResult {
    let command = Command { argv: argv(arguments), timeout: Some(timeout), ..Command::default() };
    let limits = Limits { grace: Duration::from_millis(300), ..Limits::default() };
    run(&command, &limits, &allow(&[arguments]), &RealSystem).await
}

/// What a shell, a template, a terminal or a careless program could stumble over.
const CORPUS: [&str; 30] = [
    "plain",
    "",
    " ",
    "  two  spaces  ",
    "a b",
    "$(reboot)",
    "`reboot`",
    "${HOME}",
    "$HOME",
    "; reboot",
    "| cat",
    "& reboot &",
    "> /tmp/x",
    "< /etc/passwd",
    "'",
    "\"",
    "\\",
    "\\n",
    "*",
    "?",
    "[a-z]",
    "{a,b}",
    "~",
    "!!",
    "#x",
    "%s%n",
    "{{ x }}",
    "{% raw %}",
    "äöü \u{202e}evil",
    "\u{1b}[31mred",
];

#[tokio::test]
async fn every_argument_arrives_at_the_child_verbatim() {
    let arguments: Vec<String> = ["/usr/bin/printf", "%s\\t"].iter().chain(&CORPUS).map(|a| (*a).to_owned()).collect();
    let list: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = step(&list, Duration::from_secs(10)).await;
    assert!(result.is_success(), "{result:?}");
    let expected: String = CORPUS.iter().map(|argument| format!("{argument}\t")).collect();
    assert_eq!(result.stdout.text, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// From a parameter through template and list to a real program's argument.
    #[test]
    fn a_parameter_arrives_verbatim_or_is_refused(value in "\\PC{0,40}|[ -~\n\t\0]{0,20}") {
        let declared = serde_json::from_value(json!({ "x": {} })).expect("declarations");
        let given = Map::from_iter([("x".to_owned(), json!(value))]);
        let Ok(checked) = check_parameters(&declared, &given) else {
            prop_assert!(value.starts_with('-') || value.chars().any(char::is_control));
            return Ok(());
        };
        let argv = render(&argv(&["/usr/bin/printf", "%s", "{{ x }}"]), &checked).expect("a vector");
        let list = allow(&[&["/usr/bin/printf", "%s", "*"]]);
        let command = Command { argv, ..Command::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let result = runtime.block_on(run(&command, &Limits::default(), &list, &RealSystem));
        if result.refused.is_some() {
            prop_assert!(value.split('/').any(|part| part == ".."), "{:?} was refused: {:?}", value, result.refused);
        } else {
            prop_assert_eq!(result.stdout.text, value);
        }
    }
}

#[tokio::test]
async fn what_is_not_on_the_list_is_not_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let mark = folder.path().join("mark").display().to_string();
    let command = Command { argv: argv(&["/usr/bin/touch", &mark]), ..Command::default() };
    let result = run(&command, &Limits::default(), &AllowList::standard(), &RealSystem).await;
    assert!(result.refused.as_deref().is_some_and(|why| why.contains("touch")), "{result:?}");
    assert!(result.started.is_none() && !Path::new(&mark).exists(), "it was not started");

    let variable = Command {
        argv: argv(&["uptime"]),
        env: [("LD_PRELOAD".to_owned(), "/x".to_owned())].into(),
        ..Command::default()
    };
    assert!(run(&variable, &Limits::default(), &AllowList::standard(), &RealSystem).await.refused.is_some());
    let folder = Command { argv: argv(&["uptime"]), cwd: Some("tmp".into()), ..Command::default() };
    assert!(run(&folder, &Limits::default(), &AllowList::standard(), &RealSystem).await.refused.is_some());
}

#[tokio::test]
async fn a_program_that_is_not_there_is_said_to_be_missing() {
    let result = step(&["/nonexistent/program"], Duration::from_secs(1)).await;
    assert!(result.refused.as_deref().is_some_and(|why| why.contains("cannot be started")), "{result:?}");
}

#[tokio::test]
async fn the_environment_is_empty_and_the_input_closed() {
    let result = step(&["env"], Duration::from_secs(10)).await;
    let mut names: Vec<&str> = result.stdout.text.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["LANG", "PATH"]);
    let result = step(&["cat"], Duration::from_secs(10)).await;
    assert!(result.is_success() && result.stdout.text.is_empty(), "reading ends at once: {result:?}");
}

#[tokio::test]
async fn an_exit_code_and_a_signal_are_told() {
    let result = step(&["sh", "-c", "echo out; echo err >&2; exit 7"], Duration::from_secs(10)).await;
    assert_eq!((result.exit_code, result.signal, result.timed_out), (Some(7), None, false));
    assert_eq!((result.stdout.text.as_str(), result.stderr.text.as_str()), ("out\n", "err\n"));
    assert!(!result.is_success());
    let result = step(&["sh", "-c", "kill -SEGV $$"], Duration::from_secs(10)).await;
    assert_eq!((result.exit_code, result.signal), (None, Some(11)));
}

#[tokio::test]
async fn endless_output_is_read_and_capped() {
    let result = step(&["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo end"], Duration::from_secs(20)).await;
    assert!(result.is_success(), "it never waited for a full pipe: {result:?}");
    assert!(result.stdout.truncated && result.stdout.text.len() < 66 * 1024);
    assert!(result.stdout.text.ends_with("end\n"), "the end is kept");
}

#[tokio::test]
async fn at_the_timeout_the_whole_group_ends() {
    // A child and a grandchild that do not listen to TERM.
    let result = step(
        &["sh", "-c", "trap '' TERM; sh -c 'trap \"\" TERM; sleep 60' & echo $!; wait; sleep 60"],
        Duration::from_millis(300),
    )
    .await;
    assert!(result.timed_out && result.signal == Some(9), "{result:?}");
    assert!(result.duration_seconds < 10.0);
    let grandchild: i32 = result.stdout.text.trim().parse().expect("a process number");
    wait_until_gone(grandchild);
}

#[tokio::test]
async fn a_program_that_ends_when_asked_is_not_killed() {
    let result =
        step(&["sh", "-c", "trap 'echo bye; exit 3' TERM; while :; do sleep 0.05; done"], Duration::from_millis(300))
            .await;
    assert_eq!((result.timed_out, result.exit_code, result.stdout.text.as_str()), (true, Some(3), "bye\n"));
}

#[tokio::test]
async fn a_daemon_that_keeps_the_pipe_open_does_not_hold_the_step() {
    let result = step(&["sh", "-c", "setsid sleep 30 & echo $!"], Duration::from_secs(20)).await;
    assert!(result.is_success() && result.duration_seconds < 10.0, "{result:?}");
    let daemon: i32 = result.stdout.text.trim().parse().expect("a process number");
    let pid = rustix::process::Pid::from_raw(daemon).expect("not zero");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("what it left on purpose lives on");
}

#[tokio::test]
async fn a_step_that_nobody_waits_for_any_more_is_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pid");
    let script = format!("sleep 60 & echo $! > {}; wait", file.display());
    let arguments = ["sh", "-c", script.as_str()];
    let running = step(&arguments, Duration::from_secs(60));
    let written = async {
        while std::fs::read_to_string(&file).unwrap_or_default().trim().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! { result = running => panic!("{result:?}"), () = written => {} }
    let pid = std::fs::read_to_string(&file).expect("written").trim().parse().expect("a process number");
    wait_until_gone(pid);
}

/// Until a process is gone or a zombie that nobody has reaped yet; at most five seconds.
fn wait_until_gone(pid: i32) {
    let in_time = crate::in_seconds(5);
    loop {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
        if edge::parse::stat::stat(&stat).is_none_or(|found| found.state == 'Z') {
            return;
        }
        assert!(in_time(), "process {pid} is still there");
        std::thread::yield_now();
    }
}

#[test]
fn a_real_list_is_obeyed_only_while_nobody_else_can_write_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("allow");
    std::fs::write(&file, "allow: [\"uptime\"]\n").expect("written");
    let set = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("a mode");
    set(0o644);
    AllowList::load(&file, &RealSystem).expect("it is ours");
    set(0o666);
    assert!(matches!(AllowList::load(&file, &RealSystem), Err(AllowError::NotTrusted { .. })));
    set(0o644);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&file, &link).expect("a link");
    assert!(
        matches!(AllowList::load(&link, &RealSystem), Err(AllowError::NotTrusted { .. })),
        "links are not followed"
    );
    assert!(matches!(AllowList::load(&folder.path().join("none"), &RealSystem), Err(AllowError::Read { .. })));
}
