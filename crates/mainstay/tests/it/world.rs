//! The real world of these tests: the clock, processes, ports, and waiting for a condition until a deadline. The only
//! file here that touches them directly.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Time between two looks at a condition.
const TICK: Duration = Duration::from_millis(10);

/// A stop-watch.
#[derive(Clone, Copy)]
pub struct Watch(Instant);

impl Watch {
    /// Started now.
    #[expect(clippy::disallowed_methods, reason = "real processes are waited for")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// What has passed.
    pub fn passed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The time of day, for names and time stamps of peers.
#[expect(clippy::disallowed_methods, reason = "what a peer signs is compared with the real clock")]
pub fn unix_seconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("the clock is past 1970").as_secs()
}

/// A setting of the one who runs the tests.
#[expect(clippy::disallowed_methods, reason = "the settings of the tests come in here")]
pub fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A pause between two looks at a condition.
#[expect(clippy::disallowed_methods, reason = "a test with a real peer asks again until a deadline")]
pub fn tick() {
    std::thread::sleep(TICK); // polls: whatever the caller waits for
}

/// A pause of a length that the test's seed chose: when the fault strikes, which no condition tells.
#[expect(clippy::disallowed_methods, reason = "a fault at a random moment needs a random moment")]
pub fn let_pass(span: Duration) {
    std::thread::sleep(span); // dawdles: as the fault that is to come
}

/// Asks until there is an answer.
///
/// # Panics
/// After `limit`, with what was waited for and what `last` says about why it did not come.
pub fn until<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let watch = Watch::start();
    loop {
        match ask() {
            Ok(found) => return found,
            Err(last) if watch.passed() > limit => panic!("{what}: not within {limit:?}; at last: {last}"),
            Err(_) => tick(),
        }
    }
}

/// A command that is yet to be started.
#[expect(clippy::disallowed_methods, reason = "the tests run real programs")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// Runs a program to its end.
///
/// # Panics
/// When it cannot be started.
pub fn run<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, words: &[S]) -> Output {
    let shown = program.as_ref().display().to_string();
    let output = command(program).args(words).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("cannot run {shown}: {error}"))
}

/// Runs a program that has to succeed.
///
/// # Panics
/// When it does not.
pub fn must<S: AsRef<OsStr>>(program: &str, words: &[S]) {
    let output = run(program, words);
    assert!(output.status.success(), "{program}: {}", text(&output));
}

/// Everything that a program said.
pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Ends a process at once, as a crash of it would.
pub fn kill_hard(child: &mut Child) {
    child.kill().expect("a child of ours may be killed");
    child.wait().expect("a child of ours is waited for");
}

/// A port of loopback that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A connection with limits.
///
/// # Errors
/// Nobody listens there, or no answer in time.
#[expect(clippy::disallowed_methods, reason = "the tests dial their own server")]
pub fn dial(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Holds back other tests that load the machine or measure it, in whatever process they run, until it is dropped.
pub fn alone() -> File {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alone.lock");
    let file = File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.lock().expect("a file of our own can be locked");
    file
}

/// Says that a promise was not put to the test here and why. It never counts as kept: `MAINSTAY_NOT_RUN` names a file
/// that lists such promises, and with `MAINSTAY_RUN_ALL=1` it is a failure.
pub fn not_run(promise: &str, why: &str) {
    println!("not run: {promise}: {why}");
    if let Some(path) = setting("MAINSTAY_NOT_RUN") {
        let file = File::options().append(true).create(true).open(&path);
        let written = file.and_then(|mut file| writeln!(file, "{promise}: {why}"));
        written.unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    assert!(setting("MAINSTAY_RUN_ALL").is_none(), "not run: {promise}: {why}");
}

/// Numbers that look random and come again with the same seed (SplitMix64).
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From `MAINSTAY_SEED`, or another one each day; printed, so that a failure can be repeated.
    pub fn of_today(what: &str) -> Self {
        let seed = setting("MAINSTAY_SEED").and_then(|text| text.parse().ok()).unwrap_or(unix_seconds() / 86_400);
        println!("{what}: MAINSTAY_SEED={seed}");
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let at = usize::try_from(self.below(of.len() as u64)).expect("an index");
        &of[at]
    }
}
