//! What systemd is told, heard on a socket as systemd itself hears it.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::server::{Place, Server};

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
