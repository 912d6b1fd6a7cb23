//! Shows what profiles find in a recorded answer: `cargo run -p probe --example extract -- ANSWER PROFILE…`.
//!
//! ANSWER is a JSON document, or any text. PROFILE is the name of one of Mainstay's own or a file. Without one, all of
//! Mainstay's own are asked.

use probe::extract::{Input, Library, Profile, extract};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let answer = std::fs::read_to_string(arguments.next().ok_or("say the file that holds the answer")?)?;
    let own = Library::own();
    let mut files: Vec<Profile> = Vec::new();
    let mut profiles: Vec<&Profile> = Vec::new();
    for name in arguments {
        match own.profile(&name) {
            Some(profile) => profiles.push(profile),
            None => files.extend(
                Profile::parse_all(&name, &std::fs::read_to_string(&name)?)
                    .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?,
            ),
        }
    }
    profiles.extend(&files);
    if profiles.is_empty() {
        profiles.extend(own.profiles());
    }
    let found = match serde_json::from_str(&answer) {
        Ok(document) => extract(&profiles, Input::Json(&document)),
        Err(_) => extract(&profiles, Input::Text(&answer)),
    };
    println!("{}", serde_json::to_string_pretty(&found)?);
    Ok(())
}
