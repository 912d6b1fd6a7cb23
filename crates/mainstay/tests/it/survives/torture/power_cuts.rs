//! The power is cut: a file system on a loop device is shut down by the kernel without its log being written, as when the
//! machine loses power, and is mounted again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::load::Load;
use super::{may_mount, times};
use crate::server::{self, Place, Server};
use crate::world::{self, Dice, Watch};

const PROMISE: &str = "what was acknowledged survives a power cut";
/// The shutdown request of ext4 and XFS; 2: without writing the log first. `unsafe` is forbidden in our crates.
const SHUT_DOWN: &str =
    "import fcntl, os, struct, sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

/// A file system in a file.
struct Disk {
    image: PathBuf,
    mounted_at: PathBuf,
}

impl Disk {
    /// Makes one; a sentence when this machine cannot.
    fn new(place: &Place) -> Result<Self, String> {
        if !may_mount() {
            return Err("only root may mount a file system".into());
        }
        let disk = Self { image: place.beside("disk.img"), mounted_at: place.data.clone() };
        std::fs::create_dir_all(&disk.mounted_at).map_err(|error| error.to_string())?;
        let image = File::create(&disk.image).and_then(|file| file.set_len(256 << 20));
        image.map_err(|error| format!("{}: {error}", disk.image.display()))?;
        let made = world::run("mkfs.ext4", &[Path::new("-q"), Path::new("-F"), &disk.image]);
        if !made.status.success() {
            return Err(world::text(&made));
        }
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<(), String> {
        let mounted = world::run("mount", &[Path::new("-o"), Path::new("loop"), &self.image, &self.mounted_at]);
        if mounted.status.success() { Ok(()) } else { Err(world::text(&mounted)) }
    }

    /// Cuts the power. What the processes still hold in memory is theirs; what the kernel had not written is gone.
    fn cut(&self) -> Result<(), String> {
        let cut = world::run("python3", &[Path::new("-c"), Path::new(SHUT_DOWN), &self.mounted_at]);
        if cut.status.success() { Ok(()) } else { Err(world::text(&cut)) }
    }

    fn unmount(&self) -> Result<(), String> {
        let done = world::run("umount", &[&self.mounted_at]);
        if done.status.success() { Ok(()) } else { Err(world::text(&done)) }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.unmount());
    }
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let _alone = world::alone();
    let place = Place::new();
    let disk = match Disk::new(&place) {
        Ok(disk) => disk,
        Err(why) => return world::not_run(PROMISE, &why),
    };
    if let Err(why) = disk.cut().and_then(|()| disk.unmount()).and_then(|()| disk.mount()) {
        return world::not_run(PROMISE, &why);
    }
    let rounds = times("MAINSTAY_POWER_CUTS", 60, 1000);
    let mut dice = Dice::of_today("power cuts");
    let mut load = Load::new(&mut dice, &[]);
    let watch = Watch::start();
    let mut token = None;
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        let mut server = Server::start(&place.data, &["--no-agent"]);
        slowest = slowest.max(server.start);
        if token.is_none() {
            token = Some(server.token("admin"));
        }
        server.http.token.clone_from(&token);
        load.settle(&server.http);
        let http = server.http.clone();
        let (cut, enough) = (AtomicBool::new(false), AtomicBool::new(false));
        load.run(&http, &cut, &enough, || {
            world::let_pass(Duration::from_micros(dice.below(200_000)));
            // Only what was read before this moment counts: an answer after it may come from memory alone.
            cut.store(true, Ordering::SeqCst);
            disk.cut().unwrap_or_else(|why| panic!("cut {round}: {why}"));
            enough.store(true, Ordering::SeqCst);
            server.kill();
        });
        disk.unmount().and_then(|()| disk.mount()).unwrap_or_else(|why| panic!("after cut {round}: {why}"));
    }
    let mut server = Server::start(&place.data, &["--no-agent"]);
    server.http.token = token;
    load.settle(&server.http);
    let differences = load.differences(&server.http);
    println!(
        "{rounds} power cuts in {:.0} s, {} acts acknowledged, slowest start {} ms",
        watch.passed().as_secs_f64(),
        load.acknowledged(),
        slowest.as_millis()
    );
    assert!(
        differences.is_empty(),
        "{} differences: {:#?}",
        differences.len(),
        &differences[..differences.len().min(20)]
    );
    assert!(load.acknowledged() >= rounds, "a load of {} acts proves nothing", load.acknowledged());
    assert!(slowest <= Duration::from_secs(5), "a start after a power cut took {slowest:?}");
    server.stop();
    let verified = server::cli(&place.data, &["verify"]);
    assert!(verified.status.success(), "verify: {}", world::text(&verified));
}
