//! The API keeps to its own document: schemathesis makes requests from the OpenAPI document of the running server, good
//! ones and bad ones, and holds every answer against it.

use std::path::Path;

use crate::server::{Place, Server};
use crate::world;

const PROMISE: &str = "no request makes a server error or an answer that the document does not describe";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

#[test]
fn no_request_makes_a_server_error_or_breaks_the_document() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let program = root.join(".venv/bin/schemathesis");
    if !program.exists() {
        return world::not_run(PROMISE, "schemathesis is not installed; `make test-deps` does it");
    }
    let _alone = world::alone();
    let place = Place::new();
    let server = Server::start(&place.data, &["--no-agent"]).with_admin();
    let token = server.http.token.clone().expect("it was just made");
    let document = format!("http://{}/api/v1/openapi.json", server.http.address);
    let authorization = format!("Authorization: Bearer {token}");
    let examples = world::setting("MAINSTAY_SCHEMA_EXAMPLES").unwrap_or_else(|| "12".to_owned());
    let words = [
        "run",
        &document,
        "--header",
        &authorization,
        "--checks",
        CHECKS,
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        &examples,
        "--seed",
        "1",
        "--generation-deterministic",
        "--request-timeout",
        "20",
        // A stream has no end to wait for.
        "--exclude-operation-id",
        "stream_journal",
        // The token that asks would end itself, or the sign-in would be slowed down as an attack.
        "--exclude-operation-id",
        "revoke_token",
        "--exclude-operation-id",
        "sign_in",
        // Takes nothing but protocol buffers, which it cannot make; signals/remote_write.rs does.
        "--exclude-operation-id",
        "remote_write",
        "--no-color",
    ];
    let mut command = world::command(&program);
    command.args(words).current_dir(place.folder.path());
    let output = command.output().expect("schemathesis starts");
    let said = world::text(&output);
    let end: Vec<&str> = said.lines().rev().take(25).collect();
    println!("{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
    assert!(output.status.success(), "{said}");
    let answer = server.http.get("/api/v1/records/incident?limit=1");
    assert!(answer["records"].is_array(), "the server still answers");
}
