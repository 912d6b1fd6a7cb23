//! The process and its surroundings: what systemd is told, heard on a socket as systemd itself hears it, and how memory is kept.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::server::{Place, Server};
use crate::world;

fn next(socket: &UnixDatagram) -> String {
    let mut said = [0; 256];
    let length = socket.recv(&mut said).expect("systemd is told within the time limit");
    String::from_utf8_lossy(&said[..length]).trim_end().to_owned()
}

#[test]
fn systemd_hears_that_mainstay_is_ready_lives_and_ends() {
    let place = Place::new();
    let path = place.beside("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a time limit");
    let variables = [("NOTIFY_SOCKET", path.to_str().expect("a path in UTF-8"))];
    let server = Server::start_with(&place.data, crate::world::free_port(), &["--no-agent"], &variables);
    let mut heard = vec![next(&socket), next(&socket)];
    heard.sort_unstable();
    assert_eq!(heard, ["READY=1", "WATCHDOG=1"]);
    server.stop();
    // A sign of life may still lie before it.
    let last = std::iter::repeat_with(|| next(&socket)).find(|said| said != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
}

#[test]
fn a_server_keeps_its_memory_in_few_arenas_unless_somebody_says_how_many() {
    let (place, own) = (Place::new(), Place::new());
    let arenas = |server: &Server| -> Vec<String> {
        let environment = std::fs::read(format!("/proc/{}/environ", server.pid())).expect("ours");
        let all = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        all.filter_map(|line| line.strip_prefix("MALLOC_ARENA_MAX=").map(str::to_owned)).collect()
    };
    let cores = std::thread::available_parallelism().expect("a number").get();
    assert_eq!(arenas(&Server::start(&place.data, &["--no-agent"])), [(2 * cores).to_string()]);
    let said = Server::start_with(&own.data, world::free_port(), &["--no-agent"], &[("MALLOC_ARENA_MAX", "7")]);
    assert_eq!(arenas(&said), ["7"]);
}
