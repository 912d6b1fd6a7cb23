//! A real nginx with a configuration of its own, as a daemon that is ended and started like any service.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::http::Http;
use crate::world;

/// The program, where Debian puts it.
pub const PROGRAM: &str = "/usr/sbin/nginx";
/// What its one page says.
pub const PAGE: &str = "Welcome to the shop";

/// One nginx.
pub struct Nginx {
    folder: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Where it listens.
    pub port: u16,
}

impl Nginx {
    /// Writes a configuration and starts it.
    ///
    /// # Panics
    /// When nginx is not installed or does not start.
    pub fn start(folder: &Path) -> Self {
        let port = world::free_port();
        let folder = folder.join("nginx");
        fs::create_dir_all(folder.join("html")).expect("a folder");
        fs::write(folder.join("html/index.html"), PAGE).expect("a page");
        let config = folder.join("nginx.conf");
        fs::write(&config, configuration(&folder, port)).expect("a configuration");
        let nginx = Self { folder, config, port };
        nginx.begin();
        nginx
    }

    /// The argument vector that starts it.
    pub fn argv(&self) -> Vec<String> {
        vec![PROGRAM.to_owned(), "-c".to_owned(), self.config.display().to_string()]
    }

    fn begin(&self) {
        let argv = self.argv();
        world::must(&argv[0], &argv[1..]);
        world::until(Duration::from_secs(10), "nginx answers", || self.answers());
    }

    /// Whether it serves its page.
    ///
    /// # Errors
    /// Why not.
    pub fn answers(&self) -> Result<(), String> {
        let http = Http { address: ([127, 0, 0, 1], self.port).into(), token: None };
        let answer = http.send("GET", "/", &[], b"").map_err(|error| error.to_string())?;
        if answer.text() == PAGE { Ok(()) } else { Err(answer.text()) }
    }

    /// Its master process, if it runs.
    pub fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.folder.join("nginx.pid")).ok()?;
        text.trim().parse().ok().filter(|pid| Path::new(&format!("/proc/{pid}")).exists())
    }

    /// Ends it and waits until nobody listens any more.
    ///
    /// # Panics
    /// When it does not run.
    pub fn stop(&self) {
        let pid = self.pid().expect("nginx runs");
        world::must("kill", &["-TERM", &pid.to_string()]);
        world::until(Duration::from_secs(10), "nginx has ended", || match self.answers() {
            Err(_) => Ok(()),
            Ok(()) => Err("it still answers".to_owned()),
        });
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            world::run("kill", &["-TERM", &pid.to_string()]);
        }
    }
}

/// Everything that nginx writes is in its own folder, so that it needs no right that the test does not have.
fn configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("  {name}_temp_path {folder}/{name};\n"))
        .collect();
    format!(
        "daemon on;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\n\
         events {{ worker_connections 64; }}\nhttp {{\n  access_log off;\n{temporary}  \
         server {{ listen 127.0.0.1:{port}; root {folder}/html; }}\n}}\n"
    )
}
