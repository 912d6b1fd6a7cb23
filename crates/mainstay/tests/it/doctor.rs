//! `mainstay doctor` asks for what nobody thinks of before the machine is lost.

use crate::server::{Place, Server, cli};
use crate::world;

#[test]
fn doctor_asks_for_a_backup_until_there_is_one_and_for_the_keys_always() {
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let doctor = || world::text(&cli(&place.data, &["doctor"]));
    let told = doctor();
    assert!(told.contains("warn  no backup"), "{told}");
    let keys = place.data.join("keys").display().to_string();
    assert!(told.contains(&format!("note  no backup contains {keys}")), "{told}");

    let full = place.beside("full");
    std::fs::create_dir(&full).expect("a folder");
    std::fs::write(full.join("x"), "x").expect("a file");
    assert!(!server.cli(&["backup", &full.display().to_string()]).status.success(), "refused: it is not empty");
    assert!(doctor().contains("warn  no backup"), "a backup that was refused is none");
    let folder = place.beside("backup").display().to_string();
    assert!(server.cli(&["backup", &folder]).status.success());
    let told = doctor();
    assert!(told.contains("ok    the newest backup") && told.contains(&folder), "{told}");
    assert!(!place.beside("backup").join("keys").exists(), "and the keys are indeed not in it");

    // A note of an old backup, as it stands after two days without one.
    let old = format!("{{\"taken\": \"2020-01-01T00:00:00Z\", \"to\": \"{folder}\"}}");
    std::fs::write(place.data.join("last-backup.json"), old).expect("a note");
    server.stop();
    let told = doctor();
    assert!(told.contains("warn  the newest backup") && told.contains("old"), "also while no server runs: {told}");
}
