//! Commands over SSH: a real sshd that lets the user of the test in by key, and asyncssh's server by password.

use std::path::Path;
use std::time::Duration;

use probe::State;
use serde_json::{Value, json};

use crate::peers::{Peer, free_port, run, start, until_it_listens};
use crate::ssh::{host_key, print_of};
use crate::{SECONDS_5, check};

/// A folder with a host key, one key of a user for each kind, and one that nobody knows.
struct Keys {
    folder: tempfile::TempDir,
    print: String,
}

const KINDS: [&str; 3] = ["ed25519", "ecdsa", "rsa"];

impl Keys {
    fn new() -> Keys {
        let folder = tempfile::tempdir().unwrap();
        let print = host_key(folder.path(), "ed25519");
        for kind in KINDS {
            let file = folder.path().join(format!("user_{kind}"));
            run("ssh-keygen", &["-q", "-t", kind, "-N", "", "-f", file.to_str().unwrap()]);
        }
        let stranger = folder.path().join("stranger");
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", stranger.to_str().unwrap()]);
        Keys { folder, print }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// An sshd with these further settings; the target's text.
async fn sshd(keys: &Keys, settings: &str) -> (Peer, String) {
    let port = free_port();
    let known = KINDS.map(|kind| keys.read(&format!("user_{kind}.pub"))).concat();
    let configuration = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}/ed25519\nPidFile none\nUsePAM no\nStrictModes no\n\
         AuthorizedKeysFile {{folder}}/known\nPermitRootLogin yes\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nMaxAuthTries 3\nPrintMotd no\n{settings}\n",
        keys.path().display()
    );
    std::fs::create_dir_all("/run/sshd").unwrap(); // Where sshd locks its unprivileged half in; Debian's unit makes it.
    let arguments = ["-D", "-e", "-f", "{folder}/peer.conf"];
    let peer = start("/usr/sbin/sshd", &configuration, &arguments, &[("known", known)]);
    until_it_listens(&peer, port).await;
    (peer, format!("127.0.0.1:{port}"))
}

fn with(base: &Value, more: Value) -> Value {
    let mut params = base.clone();
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    params
}

#[tokio::test]
async fn a_real_sshd_lets_in_by_key_and_its_commands_are_judged() {
    let keys = Keys::new();
    let (_sshd, target) = sshd(&keys, "").await;
    let me = run("id", &["-un"]).trim().to_owned();
    let base = json!({"user": me, "private_key": keys.read("user_ed25519"), "fingerprint": keys.print});
    let plugin = "echo 'DISK WARNING - 12 jobs wait | used=42%;40;50'; exit 1";
    let rows = [
        (json!({}), State::Ok, format!("lets {me:?} in")),
        (json!({"private_key": keys.read("user_ecdsa")}), State::Ok, format!("lets {me:?} in")),
        (json!({"private_key": keys.read("user_rsa"), "command": "echo fine"}), State::Ok, "fine".to_owned()),
        (json!({"command": plugin}), State::Warning, "DISK WARNING - 12 jobs wait".to_owned()),
        (json!({"command": "echo all three", "warn_time": "1ms"}), State::Warning, "all three, ".to_owned()),
        (json!({"command": "echo all three", "critical_time": "1ms"}), State::Critical, "all three, ".to_owned()),
        (json!({"command": "echo gone; exit 2"}), State::Critical, "gone".to_owned()),
        (json!({"command": "exit 3"}), State::Unknown, "said nothing".to_owned()),
        (json!({"command": "echo x; kill -9 $$"}), State::Unknown, "ended by a signal".to_owned()),
        (json!({"command": "echo ready", "exit_code": "success"}), State::Ok, "ends well (\"ready\")".to_owned()),
        (
            json!({"command": "ls /none", "exit_code": "success"}),
            State::Critical,
            "ends with the code 2: \"ls: cannot access".to_owned(),
        ),
        (json!({"command": "no-such-thing", "exit_code": "success"}), State::Critical, "no such command".to_owned()),
        (json!({"command": "echo a", "output": "^b"}), State::Critical, "writes nothing that matches ^b".to_owned()),
        (
            json!({"command": "echo 12 jobs wait", "numbers": {"jobs": "(\\d+) jobs"}, "values": {"jobs": "< 10"}}),
            State::Critical,
            "is 12, where < 10 is expected".to_owned(),
        ),
        (json!({"command": "cat; echo nothing to read"}), State::Ok, "nothing to read".to_owned()),
        (
            json!({"command": "head -c 200000 /dev/zero | tr '\\0' x; echo; echo end", "output": "^x{1000}"}),
            State::Ok,
            "xxx".to_owned(),
        ),
        (json!({"command": "yes"}), State::Unknown, "writes 256 KiB and more".to_owned()),
        (
            json!({"private_key": keys.read("stranger")}),
            State::Critical,
            format!("does not let {me:?} in with this key (it takes \"publickey\")"),
        ),
        (json!({"private_key": null, "password": "letmein"}), State::Critical, "with this password".to_owned()),
    ];
    for (params, state, part) in rows {
        let outcome = check("ssh", &target, with(&base, params.clone()), SECONDS_5).await;
        assert_eq!(outcome.state, state, "{:?}: {}", params.get("command"), outcome.summary);
        assert!(outcome.summary.contains(&part), "{:?}: {}", params.get("command"), outcome.summary);
        assert!(!outcome.summary.contains("letmein"), "{}", outcome.summary);
        if params.get("command").is_some_and(|command| command == plugin) {
            assert_eq!(outcome.reading("ssh_plugin_value"), Some(42.0));
            assert_eq!(outcome.reading("ssh_exit_code"), Some(1.0));
            assert!(outcome.timings.contains_key("sign_in") && outcome.timings.contains_key("command"));
        }
    }
    let slow = with(&base, json!({"command": "sleep 60"}));
    let outcome = check("ssh", &target, slow, Duration::from_secs(1)).await;
    assert!(outcome.summary.contains("while waiting for the command to end (timeout)"), "{}", outcome.summary);
}

#[tokio::test]
async fn nobody_signs_in_at_a_server_with_another_host_key() {
    let keys = Keys::new();
    let (peer, target) = sshd(&keys, "LogLevel VERBOSE").await;
    let me = run("id", &["-un"]).trim().to_owned();
    let other = print_of(&keys.path().join("stranger.pub"));
    let params = json!({"user": me, "private_key": keys.read("user_ed25519"), "fingerprint": other, "command": "id"});
    let outcome = check("ssh", &target, params, SECONDS_5).await;
    assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
    assert!(outcome.summary.contains("another host key than expected"), "{}", outcome.summary);
    let log = std::fs::read_to_string(peer.folder().join("log")).unwrap();
    assert!(!log.contains("Accepted") && !log.contains("publickey"), "{log}");
}

#[tokio::test]
async fn every_cipher_checksum_and_key_exchange_is_spoken() {
    let keys = Keys::new();
    let me = run("id", &["-un"]).trim().to_owned();
    let aead = ["aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"];
    let macs = [
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256",
        "hmac-sha2-512",
        "hmac-sha1",
    ];
    let settings = aead.map(|cipher| format!("Ciphers {cipher}")).into_iter();
    let settings = settings.chain(macs.map(|mac| format!("Ciphers aes256-ctr\nMACs {mac}")));
    let exchanges = [
        "curve25519-sha256",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "diffie-hellman-group14-sha256",
        "diffie-hellman-group14-sha1",
    ];
    let settings = settings.chain(exchanges.map(|way| format!("Ciphers aes128-ctr\nKexAlgorithms {way}")));
    for settings in settings {
        let (_sshd, target) = sshd(&keys, &settings).await;
        let params = json!({"user": me, "private_key": keys.read("user_ed25519"), "fingerprint": keys.print,
            "command": "head -c 100000 /dev/zero | tr '\\0' y; echo done", "output": "done\n$"});
        let outcome = check("ssh", &target, params, SECONDS_5).await;
        assert_eq!(outcome.state, State::Ok, "{settings}: {}", outcome.summary);
    }
    let (_sshd, target) = sshd(&keys, "Ciphers aes128-cbc").await;
    let params = json!({"user": me, "private_key": keys.read("user_ed25519"), "fingerprint": keys.print});
    let outcome = check("ssh", &target, params, SECONDS_5).await;
    assert_eq!(outcome.state, State::Critical, "{}", outcome.summary);
    assert!(
        outcome.summary.contains("offers no cipher or checksum to sign in over, but \"aes128-cbc\""),
        "{}",
        outcome.summary
    );
}

#[tokio::test]
async fn a_password_lets_in_also_where_it_is_asked_for_as_a_question() {
    let keys = Keys::new();
    for way in ["password", "kbdint"] {
        let port = free_port();
        let script = format!(
            "import asyncio, asyncssh\n\
             class Server(asyncssh.SSHServer):\n\
             \x20   def begin_auth(self, user): return True\n\
             \x20   def password_auth_supported(self): return {way:?} == 'password'\n\
             \x20   def validate_password(self, user, password): return (user, password) == ('mia', 'hunter2')\n\
             \x20   def kbdint_auth_supported(self): return {way:?} == 'kbdint'\n\
             \x20   def get_kbdint_challenge(self, user, language, ways): return '', '', '', [('Password: ', False)]\n\
             \x20   def validate_kbdint_response(self, user, said): return (user, list(said)) == ('mia', ['hunter2'])\n\
             def answer(process):\n\
             \x20   process.stderr.write('a note')\n    process.stdout.write('OK: ' + process.command)\n    process.exit(0)\n\
             async def main():\n\
             \x20   await asyncssh.create_server(Server, '127.0.0.1', {port}, server_host_keys=['{}/ed25519'], process_factory=answer)\n\
             \x20   await asyncio.Future()\nasyncio.run(main())\n",
            keys.path().display()
        );
        let peer = start("/usr/bin/python3", &script, &["{folder}/peer.conf"], &[]);
        until_it_listens(&peer, port).await;
        let base = json!({"user": "mia", "password": "hunter2", "fingerprint": keys.print, "command": "uptime"});
        for (params, state, part) in [
            (json!({}), State::Ok, "OK: uptime"),
            (json!({"password": "letmein"}), State::Critical, "does not let \"mia\" in with this password"),
            (json!({"user": "eve"}), State::Critical, "does not let \"eve\" in with this password"),
        ] {
            let outcome = check("ssh", &format!("127.0.0.1:{port}"), with(&base, params), SECONDS_5).await;
            assert_eq!(outcome.state, state, "{way}: {}", outcome.summary);
            assert!(outcome.summary.contains(part), "{way}: {}", outcome.summary);
            assert!(
                !outcome.summary.contains("hunter2") && !outcome.summary.contains("letmein"),
                "{}",
                outcome.summary
            );
        }
    }
}
