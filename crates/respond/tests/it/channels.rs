//! Channels as they are written: what would fail when a page is sent is refused when it is entered.

use kernel::act::{Act, Create, Target};
use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn a_channel_stays_one_that_can_carry_a_page() {
    let world = World::new().await;
    let (kernel, ana) = (&world.engine.kernel, world.person("ana"));
    let hook = |settings: Value| Create::of("channel", json!({"type": "webhook", "settings": settings})).keyed("hook");
    let refused = kernel.act(&ana, hook(json!({"URL": "https://example.org"}))).await.unwrap_err().to_string();
    assert_eq!(refused, "settings.URL: webhook has no such setting; did you mean url?");
    kernel.act(&ana, hook(json!({"url": "https://example.org/hook"}))).await.unwrap();

    for (change, says) in [
        (json!({"settings": {"url": null}}), "settings.url: is required: where requests go"),
        (
            json!({"settings": {"url": "http://169.254.169.254/"}}),
            "settings.url: 169.254.169.254 is a cloud's metadata",
        ),
        (json!({"type": "smtp"}), "settings.url: smtp has no such setting"),
        (json!({"to": "a@example.org"}), "to: is for smtp"),
    ] {
        let refused = world.try_change("hook", change).await.unwrap_err().to_string();
        assert!(refused.starts_with(says), "{refused}");
    }
    // To another type in one go, and by a controller afterwards.
    let mail = json!({"host": "mail.example.org", "from": "ops@example.org", "url": null});
    world.change("hook", json!({"type": "smtp", "to": "on-call@example.org", "settings": mail})).await;
    let own = kernel::Session::controller("respond.page", kernel::TenantId::HOME);
    let prove = Act::Transition {
        target: Target::key("channel", "hook"),
        name: "prove".into(),
        fields: Default::default(),
        note: None,
        expect: None,
    };
    assert_eq!(kernel.act(&own, prove).await.unwrap().state, "proven");
}
