//! The front door, from end to end, on values in memory and a clock moved by hand.

use super::*;
use crate::NewToken;
use crate::testing::{Memory, Notebook, People};
use kernel::clock::HandClock;
use std::sync::atomic::Ordering;
use std::time::Duration;
use totp_rs::Totp;

const HOME: TenantId = TenantId::HOME;
const PASSWORD: &str = "tulpe kabel nebel";

struct House {
    access: Arc<Access>,
    clock: HandClock,
    people: Arc<People>,
    memory: Arc<Memory>,
    told: Arc<Notebook>,
    data: tempfile::TempDir,
}

fn house() -> House {
    let data = tempfile::tempdir().expect("a folder");
    let clock = HandClock::at(Time::parse("2026-11-21T08:00:00Z").expect("a time"));
    let people = Arc::new(People::default());
    let memory = Memory::beside(&people);
    let told = Arc::new(Notebook::default());
    let keys = KeyFolder::open(&data.path().join("keys")).expect("keys");
    let parts = Parts {
        private: memory.clone(),
        clock: Arc::new(clock.clone()),
        directory: people.clone(),
        keys: &keys,
        data: data.path(),
        lifetimes: Lifetimes::default(),
        policies: Policies::built_in(),
        classes: Arc::new(()),
        witness: told.clone(),
    };
    let access = Arc::new(Access::with_cost(parts, Cost::SMALL).expect("opens"));
    House { access, clock, people, memory, told, data }
}

impl House {
    async fn with_ana(roles: &[&str]) -> Self {
        let house = house();
        house.people.add(HOME, "ana", roles);
        let ana = house.people.person(HOME, "ana").await.expect("there");
        house.access.set_password(HOME, &ana, &secret(PASSWORD)).await.expect("set");
        house
    }

    async fn sign_in(&self, name: &str, password: &str, code: Option<&str>) -> Result<SignedIn, AuthError> {
        self.access.sign_in(HOME, name, &secret(password), code, ip()).await
    }

    fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

/// Root, on the host itself.
fn host() -> Session {
    Session::authenticated(Actor::new(ActorKind::Local, "0"), HOME, vec![ADMIN.into()])
}

fn ip() -> IpAddr {
    "192.0.2.7".parse().expect("an address")
}

fn cookie(signed_in: &SignedIn) -> String {
    format!("theme=dark; {COOKIE}={}", &*signed_in.cookie)
}

#[tokio::test]
async fn a_person_signs_in_works_and_signs_out() {
    let house = House::with_ana(&["system"]).await;
    let ana = house.sign_in("ana", PASSWORD, None).await.expect("signed in");
    assert_eq!(
        (ana.session.actor().to_string(), ana.session.roles()),
        ("person:ana".into(), &["system".to_owned()][..])
    );
    let found = house.access.authenticate(Some(&cookie(&ana)), None).await.expect("found");
    assert_eq!(found.session.actor(), ana.session.actor());
    for (cookie, authorization) in [
        (None, None),
        (Some("theme=dark".to_owned()), None),
        (Some(format!("{COOKIE}={}; {COOKIE}={}", &*ana.cookie, &*ana.cookie)), None),
        (Some(format!("x{COOKIE}={}", &*ana.cookie)), None),
        (Some(cookie(&ana)), Some("Bearer mst_0_0".to_owned())),
        (None, Some(format!("Bearer {}", &*ana.cookie))),
        (None, Some("Basic YW5hOmFuYQ==".to_owned())),
    ] {
        assert!(
            matches!(
                house.access.authenticate(cookie.as_deref(), authorization.as_deref()).await,
                Err(AuthError::NotSignedIn)
            ),
            "{cookie:?} {authorization:?}"
        );
    }
    house.access.sign_out(&ana.cookie).await.expect("signed out");
    assert!(house.access.authenticate(Some(&cookie(&ana)), None).await.is_err());
}

#[tokio::test]
async fn every_wrong_sign_in_has_the_same_answer() {
    let house = House::with_ana(&["system"]).await;
    house.people.add(HOME, "ben", &[]);
    house.people.add(HOME, "eve", &[]);
    let eve = house.people.person(HOME, "eve").await.expect("there");
    house.access.set_password(HOME, &eve, &secret("katze dose wolke")).await.expect("set");
    house.people.change(HOME, "eve", |p| p.disabled = true);
    for (name, password, why) in [
        ("ana", "tulpe kabel nebeL", "wrong password"),
        ("ben", PASSWORD, "no password"),
        ("eve", "katze dose wolke", "disabled"),
        ("zoe", PASSWORD, "nobody"),
        ("", "", "empty"),
    ] {
        let error = house.sign_in(name, password, None).await.err().expect(why);
        assert!(matches!(error, AuthError::Wrong), "{why}");
    }
}

#[tokio::test]
async fn guesses_wait_longer_and_longer_and_right_ones_too() {
    let house = House::with_ana(&["system"]).await;
    let mut waits = Vec::new();
    for _ in 0..5 {
        assert!(matches!(house.sign_in("ana", "wrong wrong wrong", None).await, Err(AuthError::Wrong)));
        let Err(AuthError::Slow(wait)) = house.sign_in("ana", PASSWORD, None).await else {
            panic!("the right password must wait as well, or it would be told")
        };
        waits.push(wait.as_secs());
        house.wait(wait.as_secs());
    }
    assert_eq!(waits, [1, 3, 5, 10, 20]);
    house.sign_in("ana", PASSWORD, None).await.expect("not locked");
    assert!(
        matches!(house.sign_in("ana", "wrong wrong wrong", None).await, Err(AuthError::Wrong)),
        "the slate was wiped"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_guesses_at_once_one_is_checked() {
    let house = House::with_ana(&["system"]).await;
    let tasks: Vec<_> = (0..50)
        .map(|i| (house.access.clone(), format!("guess number {i}")))
        .map(|(a, p)| {
            tokio::spawn(async move { a.sign_in(HOME, "ana", &Secret::new(p), None, ip()).await.map(|_| ()) })
        })
        .collect();
    let mut checked = 0;
    for task in tasks {
        checked += usize::from(matches!(task.await.expect("runs"), Err(AuthError::Wrong)));
    }
    assert_eq!(checked, 1);
}

#[tokio::test]
async fn a_second_factor_is_wanted_once_it_is_confirmed() {
    let house = House::with_ana(&["system"]).await;
    let old = house.sign_in("ana", PASSWORD, None).await.expect("signed in");
    let enrolment = house.access.begin_totp(&old.session).await.expect("begins");
    let app = Totp::from_url(&*enrolment.otpauth).expect("an address");
    let code = |house: &House| app.generate(house.clock.now().as_millis().unsigned_abs() / 1000).to_string();
    let (new, recovery) = house.access.confirm_totp(&old.session, &code(&house), ip()).await.expect("confirmed");
    assert!(
        house.access.session_from_cookie(&old.cookie).await.is_err()
            && house.access.session_from_cookie(&new.cookie).await.is_ok(),
        "older sessions end"
    );
    house.wait(60);
    assert!(
        matches!(house.sign_in("ana", PASSWORD, None).await, Err(AuthError::SecondFactor)),
        "asked for, and it costs no wait"
    );
    assert!(
        matches!(house.sign_in("ana", "wrong wrong wrong", Some(&code(&house))).await, Err(AuthError::Wrong)),
        "a code alone is nothing"
    );
    house.wait(1);
    house.sign_in("ana", PASSWORD, Some(&code(&house))).await.expect("both");
    assert!(
        matches!(house.sign_in("ana", PASSWORD, Some(&code(&house))).await, Err(AuthError::Wrong)),
        "a code counts once"
    );
    // Asking for the code in between must not wipe the failures away.
    let Err(AuthError::Slow(_)) = house.sign_in("ana", PASSWORD, None).await else { panic!("waits") };
    house.wait(1);
    house.sign_in("ana", PASSWORD, Some(&recovery[0])).await.expect("a recovery code");
    let ana = house.sign_in("ana", PASSWORD, Some(&recovery[1])).await.expect("another");
    assert!(matches!(
        house.access.remove_totp(&ana.session, &secret("wrong wrong wrong"), ip()).await,
        Err(AuthError::Wrong)
    ));
    house.wait(1);
    let ana = house.access.remove_totp(&ana.session, &secret(PASSWORD), ip()).await.expect("removed");
    assert!(house.access.session_from_cookie(&ana.cookie).await.is_ok());
    house.sign_in("ana", PASSWORD, None).await.expect("the password is enough again");
}

#[tokio::test]
async fn sessions_end_when_password_roles_or_person_change() {
    let house = House::with_ana(&["system"]).await;
    let signed_in = async || house.sign_in("ana", PASSWORD, None).await.expect("signed in");
    let lives = async |s: &SignedIn| house.access.session_from_cookie(&s.cookie).await.is_ok();

    let (one, two) = (signed_in().await, signed_in().await);
    assert!(matches!(
        house
            .access
            .change_password(&one.session, &secret("wrong wrong wrong"), &secret("katze dose wolke"), ip())
            .await,
        Err(AuthError::Wrong)
    ));
    house.wait(1);
    assert!(matches!(
        house.access.change_password(&one.session, &secret(PASSWORD), &secret("password1234"), ip()).await,
        Err(AuthError::WeakPassword(_))
    ));
    assert!(lives(&two).await, "a refused change ends nothing");
    let three = house
        .access
        .change_password(&one.session, &secret(PASSWORD), &secret("katze dose wolke"), ip())
        .await
        .expect("changed");
    assert!(!lives(&one).await && !lives(&two).await && lives(&three).await);
    assert!(matches!(house.sign_in("ana", PASSWORD, None).await, Err(AuthError::Wrong)), "the old password is gone");

    house.people.change(HOME, "ana", |p| p.roles.push("database".into()));
    assert!(!lives(&three).await, "more roles");
    house.people.change(HOME, "ana", |p| p.roles.truncate(1));
    assert!(!lives(&three).await, "what ended does not come back");

    house.wait(1);
    let four = house.sign_in("ana", "katze dose wolke", None).await.expect("signed in");
    house.people.change(HOME, "ana", |p| p.disabled = true);
    assert!(!lives(&four).await, "disabled");
    house.people.change(HOME, "ana", |p| p.disabled = false);
    let five = house.sign_in("ana", "katze dose wolke", None).await.expect("signed in");
    house.access.revoke_all(&host(), "ana").await.expect("revoked");
    assert!(!lives(&five).await);
    assert_eq!(house.access.sessions(&five.session).await.expect("listed").len(), 0);
}

fn api(roles: &[&str]) -> NewToken {
    NewToken {
        title: "CI".into(),
        kind: TokenKind::Api,
        owner: None,
        subject: None,
        roles: roles.iter().map(ToString::to_string).collect(),
        expires: None,
    }
}

#[tokio::test]
async fn a_token_acts_for_its_owner_and_with_no_more() {
    let house = House::with_ana(&["system", "database"]).await;
    let ana = house.sign_in("ana", PASSWORD, None).await.expect("signed in");
    let refused = |result: Result<_, AuthError>| matches!(result, Err(AuthError::Invalid(_)));
    assert!(refused(house.access.create_token(&ana.session, api(&["admin"])).await), "a role she does not have");
    assert!(
        refused(house.access.create_token(&ana.session, NewToken { kind: TokenKind::Ingest, ..api(&[]) }).await),
        "an ingest key is an admin's to make"
    );
    let (text, kept) = house.access.create_token(&ana.session, api(&["database"])).await.expect("made");
    let bearer = format!("Bearer {}", &*text);
    let found = house.access.authenticate(None, Some(&bearer)).await.expect("found");
    assert_eq!(
        (found.session.actor().to_string(), found.session.roles()),
        (format!("token:{}", kept.id), &["database".to_owned()][..])
    );
    assert!(refused(house.access.create_token(&found.session, api(&["database"])).await), "a token makes no tokens");
    assert!(house.access.tokens(&found.session).await.expect("listed").is_empty(), "nor does it see any");
    assert_eq!(house.access.tokens(&ana.session).await.expect("listed").len(), 1);

    house.people.change(HOME, "ana", |p| p.roles = vec!["system".into()]);
    assert!(
        house.access.session_from_bearer(&text).await.expect("found").session.roles().is_empty(),
        "the owner lost the role"
    );
    house.people.change(HOME, "ana", |p| p.disabled = true);
    assert!(house.access.session_from_bearer(&text).await.is_err(), "the owner is disabled");
    house.people.change(HOME, "ana", |p| p.disabled = false);
    house.access.revoke_all(&host(), "ana").await.expect("revoked");
    assert!(house.access.session_from_bearer(&text).await.is_err());
}

#[tokio::test]
async fn a_token_is_read_again_only_when_something_was_written_or_its_time_has_come() {
    let house = House::with_ana(&["system"]).await;
    let ana = house.sign_in("ana", PASSWORD, None).await.expect("signed in");
    let day = Duration::from_secs(86_400);
    let wanted = NewToken { expires: Some(house.clock.now().plus(day)), ..api(&["system"]) };
    let (text, _) = house.access.create_token(&ana.session, wanted).await.expect("made");
    let reads = async |times: usize| {
        let before = house.memory.reads.load(Ordering::Relaxed);
        for _ in 0..times {
            house.access.session_from_bearer(&text).await.expect("found");
        }
        house.memory.reads.load(Ordering::Relaxed) - before
    };
    assert_eq!(reads(1).await, 1, "its first use is written down");
    assert_eq!(reads(100).await, 1);
    house.people.add(HOME, "ben", &[]);
    assert_eq!(reads(100).await, 1, "a person came, perhaps its owner");
    house.wait(599);
    assert_eq!(reads(100).await, 0);
    house.wait(1);
    assert_eq!(reads(100).await, 2, "its use is written down every ten minutes");
    let forged = format!("{}x", &text[..text.len() - 1]);
    assert!(house.access.session_from_bearer(&forged).await.is_err());
    house.clock.advance(day);
    assert!(house.access.session_from_bearer(&text).await.is_err(), "it has ended");
}

#[tokio::test]
async fn the_host_itself_is_an_admin_and_nobody_else_on_it() {
    let house = house();
    for (peer, own, ok) in [(0, 990, true), (990, 990, true), (1000, 990, false), (1000, 0, false)] {
        assert_eq!(house.access.local(peer, own).is_ok(), ok, "{peer} asks {own}");
    }
    let local = house.access.local(0, 990).expect("root");
    assert_eq!((local.actor().to_string(), local.roles()), ("local:0".into(), &[ADMIN.to_owned()][..]));
    let (text, _) = house.access.create_token(&local, api(&["read-only"])).await.expect("made");
    assert_eq!(house.access.session_from_bearer(&text).await.expect("found").session.roles(), ["read-only"]);
    let agent = NewToken { kind: TokenKind::Agent, subject: Some("web-1".into()), ..api(&[]) };
    let (text, kept) = house.access.create_token(&local, agent).await.expect("made");
    assert_eq!(
        house.access.session_from_bearer(&text).await.expect("found").session.actor().to_string(),
        "agent:web-1"
    );
    assert!(house.access.revoke_token(&local, &kept.id).await.expect("asked"));
    assert!(house.access.session_from_bearer(&text).await.is_err());
    let (text, kept) =
        house.access.create_token(&local, NewToken { kind: TokenKind::Ingest, ..api(&[]) }).await.expect("made");
    assert_eq!(
        house.access.session_from_bearer(&text).await.expect("found").session.actor().to_string(),
        format!("ingest:{}", kept.id)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_bootstraps_at_once_make_one_admin() {
    let house = house();
    let token = house.access.open_first_bootstrap().await.expect("asked").expect("opened");
    assert!(house.access.bootstrap_open().await.expect("asked"));
    let weak = house.access.bootstrap(&token, "ana", "Ana", &secret("password1234"), ip()).await;
    assert!(matches!(weak, Err(AuthError::WeakPassword(_))), "refused, and the token still counts");
    let tasks: Vec<_> = (0..200)
        .map(|i| (house.access.clone(), token.clone(), format!("admin-{i}")))
        .map(|(a, t, name)| {
            tokio::spawn(async move {
                a.bootstrap(&t, &name, "First Admin", &Secret::new(PASSWORD), ip()).await.map(|s| s.person.key)
            })
        })
        .collect();
    let mut made = Vec::new();
    for task in tasks {
        made.extend(task.await.expect("runs").ok());
    }
    assert_eq!(made.len(), 1);
    assert_eq!(house.people.people.lock().len(), 1, "one person");
    assert_eq!(house.memory.all("password").await.expect("read").len(), 1, "one password");
    assert!(!house.data.path().join("bootstrap-token").exists());
    assert!(house.access.open_first_bootstrap().await.expect("asked").is_none(), "not the first any more");
    let admin = house.sign_in(&made[0], PASSWORD, None).await.expect("signed in");
    assert_eq!(admin.session.roles(), [ADMIN]);

    // `admin reset` lets the same person in again, whatever they lost.
    house.access.begin_totp(&admin.session).await.expect("begun");
    let token = house.access.reset_bootstrap(&host()).await.expect("opened");
    let again = house
        .access
        .bootstrap(&token, &made[0], "First Admin", &secret("katze dose wolke"), ip())
        .await
        .expect("reset");
    assert!(
        house.access.session_from_cookie(&admin.cookie).await.is_err()
            && house.access.session_from_cookie(&again.cookie).await.is_ok()
    );
}

#[tokio::test]
async fn no_credential_is_kept_in_plain_text() {
    let house = House::with_ana(&["admin"]).await;
    let ana = house.sign_in("ana", PASSWORD, None).await.expect("signed in");
    let (token, _) = house.access.create_token(&ana.session, api(&["admin"])).await.expect("made");
    let enrolment = house.access.begin_totp(&ana.session).await.expect("begins");
    house.access.vault().put_secret(HOME, "mail", "smtp://mail:587", &secret("smtp-canary-0815")).await.expect("kept");
    let bootstrap = house.access.reset_bootstrap(&host()).await.expect("opened");
    let mut all = String::new();
    for area in ["password", "session", "token", "totp", "secret", "bootstrap", "epoch", "attempts", "refusal"] {
        all += &house
            .memory
            .all(area)
            .await
            .expect("read")
            .into_iter()
            .map(|(k, v)| format!("{k} {}\n", String::from_utf8_lossy(&v)))
            .collect::<String>();
    }
    let token_secret = token.splitn(3, '_').nth(2).unwrap_or_default();
    for canary in [PASSWORD, &ana.cookie, &token, token_secret, &enrolment.secret, "smtp-canary-0815", &bootstrap] {
        assert!(!all.contains(canary), "{canary} is in {all}");
    }
    assert!(all.len() > 500, "there is something to look through");
}

/// What was told so far about whom, in short; refusals are told beside the answer, so it waits until there are `count`.
async fn told(house: &House, count: usize) -> Vec<String> {
    for _ in 0..10_000 {
        if house.told.0.lock().len() >= count {
            break;
        }
        tokio::task::yield_now().await; // polls: what is told beside the answer
    }
    let short = |e: &Event| {
        let what = format!("{:?}", e.what);
        let what = what.split([' ', '(']).next().unwrap_or_default().to_owned();
        format!("{} {} by {}", e.person.as_deref().unwrap_or("-"), what, e.actor)
    };
    house.told.0.lock().iter().map(short).collect()
}

#[tokio::test]
async fn everything_that_happens_to_credentials_is_told_and_never_a_credential() {
    let house = House::with_ana(&["admin"]).await;
    let mut secrets = vec![PASSWORD.to_owned(), "katze dose wolke".into(), "guess-canary-4711".into()];
    assert!(house.sign_in("ana", "guess-canary-4711", None).await.is_err());
    assert!(house.sign_in("guess-canary-4711", PASSWORD, None).await.is_err(), "typed into the wrong field");
    house.wait(1);
    let first = house.sign_in("ana", PASSWORD, None).await.expect("signed in");
    let (old, new) = (secret(PASSWORD), secret("katze dose wolke"));
    let second = house.access.change_password(&first.session, &old, &new, ip()).await.expect("changed");
    let enrolment = house.access.begin_totp(&second.session).await.expect("begins");
    let app = Totp::from_url(&*enrolment.otpauth).expect("an address");
    let code = app.generate(house.clock.now().as_millis().unsigned_abs() / 1000).to_string();
    let (third, recovery) = house.access.confirm_totp(&second.session, &code, ip()).await.expect("confirmed");
    assert!(house.sign_in("ana", "katze dose wolke", Some("000000")).await.is_err(), "a wrong code");
    house.wait(1);
    let fourth = house.access.remove_totp(&third.session, &secret("katze dose wolke"), ip()).await.expect("removed");
    let (token, kept) = house.access.create_token(&fourth.session, api(&["admin"])).await.expect("made");
    assert!(house.access.revoke_token(&host(), &kept.id).await.expect("asked"));
    house.access.sign_out(&fourth.cookie).await.expect("signed out");
    house.access.sign_out(&fourth.cookie).await.expect("again: nothing happens");
    let (own, _) = house.access.create_token(&host(), api(&["read-only"])).await.expect("made");
    let bootstrap = house.access.reset_bootstrap(&host()).await.expect("opened");
    let fifth = house.access.bootstrap(&bootstrap, "ana", "Ana", &secret(PASSWORD), ip()).await.expect("used");
    house.access.revoke_all(&host(), "ana").await.expect("revoked");

    let mut all = told(&house, 13).await;
    let refusals: Vec<String> = all.extract_if(.., |line| line.contains("Refused")).collect();
    assert_eq!(refusals, ["ana Refused by anonymous:nobody"; 2]);
    assert_eq!(
        all,
        [
            "ana SignedIn by person:ana",
            "ana PasswordChanged by person:ana",
            "ana SecondFactorSetUp by person:ana",
            "ana SecondFactorRemoved by person:ana",
            "ana TokenCreated by person:ana",
            "ana TokenRevoked by local:0",
            "ana SignedOut by person:ana",
            "- TokenCreated by local:0",
            "- BootstrapOpened by local:0",
            "ana BootstrapUsed by person:ana",
            "ana AllRevoked by local:0",
        ]
    );
    let whole = format!("{:?}", house.told.0.lock());
    assert!(whole.contains("SecondFactor, failures: 2"), "somebody may know the password: {whole}");
    secrets.extend(recovery.iter().map(|c| c.to_string()));
    for signed_in in [&first, &second, &third, &fourth, &fifth] {
        secrets.push(signed_in.cookie.to_string());
    }
    // `mst_ID_SECRET`; the secret may have an underscore of its own.
    let bare = |token: &str| token.splitn(3, '_').nth(2).unwrap_or_default().to_owned();
    secrets.extend([enrolment.secret.to_string(), code, bootstrap.to_string(), bare(&token), bare(&own)]);
    for canary in secrets {
        assert!(canary.len() > 5 && !whole.contains(&canary), "{canary} is in {whole}");
    }
}

#[tokio::test]
async fn an_attacker_does_not_fill_the_journal() {
    let house = House::with_ana(&["system"]).await;
    for guess in 0..100u8 {
        let ip = IpAddr::from([198, 51, 100, guess]);
        let wrong = house.access.sign_in(HOME, "ana", &secret("wrong wrong wrong"), None, ip).await;
        assert!(matches!(wrong, Err(AuthError::Wrong)), "from many addresses, so that nothing waits");
        tokio::task::yield_now().await;
    }
    assert_eq!(told(&house, 7).await.len(), 7, "1, 2, 4, 8, 16, 32, 64");
    house.sign_in("ana", PASSWORD, None).await.expect("signed in");
    assert_eq!(told(&house, 8).await.len(), 8);
}
