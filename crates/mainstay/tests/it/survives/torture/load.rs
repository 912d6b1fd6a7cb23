//! A mixed load with a ledger outside of the server: what was acknowledged, and what was only tried. After the faults the
//! ledger is held against what the server serves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::http::{Answer, Http};
use crate::world::Dice;

/// Clients at the same time.
const CLIENTS: u64 = 4;

/// One incident as its client knows it.
struct Item {
    /// Unique, and its idempotency key.
    title: String,
    /// Once its creation was acknowledged.
    key: Option<String>,
    /// The last acknowledged value of `users_affected`, and the last that was tried.
    users: (u64, u64),
    /// Acknowledged and tried: somebody takes it.
    taken: (bool, bool),
    /// Texts of notes, and whether each was acknowledged.
    notes: Vec<(String, bool)>,
}

/// What one client did. Only it changes its items, so it knows what to expect of them.
struct Client {
    number: u64,
    dice: Dice,
    items: Vec<Item>,
}

/// What became of one request.
enum Outcome {
    Acknowledged(Answer),
    /// The server said no; the load says whether that may be.
    Refused(Answer),
    /// No answer in full, or one that came after the fault began: nobody knows.
    Unknown,
}

/// All clients with their ledgers.
pub struct Load {
    clients: Vec<Client>,
    /// Refusals with these statuses are part of the fault.
    may_refuse: &'static [u16],
}

impl Load {
    /// A load that comes again with the same seed.
    pub fn new(dice: &mut Dice, may_refuse: &'static [u16]) -> Self {
        let client = |number| Client { number, dice: Dice::new(dice.next()), items: Vec::new() };
        Self { clients: (0..CLIENTS).map(client).collect(), may_refuse }
    }

    /// Writes until the server no longer answers, or `enough` says so; answers that arrive after `cut` do not count.
    /// `meanwhile` runs beside the clients, and makes the fault.
    pub fn run(&mut self, http: &Http, cut: &AtomicBool, enough: &AtomicBool, meanwhile: impl FnOnce()) {
        let may_refuse = self.may_refuse;
        std::thread::scope(|scope| {
            for client in &mut self.clients {
                scope.spawn(move || client.write(http, cut, enough, may_refuse));
            }
            meanwhile();
        });
    }

    /// Repeats every creation of which nobody knows whether it was done, under the same idempotency key.
    pub fn settle(&mut self, http: &Http) {
        for item in self.clients.iter_mut().flat_map(|client| &mut client.items).filter(|item| item.key.is_none()) {
            let answer = create(http, &item.title).unwrap_or_else(|error| panic!("{}: {error}", item.title));
            assert_eq!(answer.status, 201, "repeating {}: {}", item.title, answer.text());
            item.key = answer.json()["key"].as_str().map(str::to_owned);
        }
    }

    /// How many acknowledged acts there are.
    pub fn acknowledged(&self) -> u64 {
        let of = |item: &Item| {
            let notes = item.notes.iter().filter(|(_, acknowledged)| *acknowledged).count() as u64;
            u64::from(item.key.is_some()) + item.users.0 + u64::from(item.taken.0) + notes
        };
        self.clients.iter().flat_map(|client| &client.items).map(of).sum()
    }

    /// Holds the ledger against the server; every difference is a sentence.
    pub fn differences(&self, http: &Http) -> Vec<String> {
        let mut stored: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for record in http.records("incident", "") {
            stored.entry(record["title"].as_str().unwrap_or_default().to_owned()).or_default().push(record);
        }
        let mut noted: BTreeMap<String, u64> = BTreeMap::new();
        for entry in http.journal().iter().filter(|entry| entry["action"] == "note") {
            *noted.entry(entry["note"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        let mut found = Vec::new();
        for item in self.clients.iter().flat_map(|client| &client.items) {
            let records = stored.remove(&item.title).unwrap_or_default();
            match records.as_slice() {
                [] => found.push(format!("{} was lost", item.title)),
                [record] => found.extend(item.differs(record)),
                many => found.push(format!("{} is there {} times", item.title, many.len())),
            }
            for (note, acknowledged) in &item.notes {
                match (noted.get(note).copied().unwrap_or(0), acknowledged) {
                    (1, _) | (0, false) => {}
                    (count, _) => found.push(format!("the note \"{note}\" is there {count} times")),
                }
            }
        }
        found.extend(stored.keys().map(|title| format!("{title} was never asked for")));
        found
    }
}

impl Item {
    fn differs(&self, record: &Value) -> Option<String> {
        let users = record["fields"]["users_affected"].as_u64().unwrap_or(0);
        let taken = record["fields"]["acknowledged_at"].is_string();
        if record["key"].as_str() != self.key.as_deref() {
            return Some(format!("{} is {} and was told to be {:?}", self.title, record["key"], self.key));
        }
        if users < self.users.0 || users > self.users.1 {
            return Some(format!(
                "{} has {users} users, and {} to {} are right",
                self.title, self.users.0, self.users.1
            ));
        }
        let lost = self.taken.0 && !taken || !self.taken.1 && taken;
        lost.then(|| format!("{} is taken: {taken}, and the ledger says {:?}", self.title, self.taken))
    }
}

fn create(http: &Http, title: &str) -> std::io::Result<Answer> {
    let body = json!({"fields": {"title": title, "users_affected": 0}}).to_string();
    http.send("POST", "/api/v1/records/incident", &[("Idempotency-Key", title)], body.as_bytes())
}

impl Client {
    fn write(&mut self, http: &Http, cut: &AtomicBool, enough: &AtomicBool, may_refuse: &[u16]) {
        while !enough.load(Ordering::SeqCst) {
            let outcome = match self.act(http) {
                Ok(answer) if answer.is_done() && !cut.load(Ordering::SeqCst) => Outcome::Acknowledged(answer),
                Ok(answer) if !answer.is_done() && !cut.load(Ordering::SeqCst) => Outcome::Refused(answer),
                Ok(_) | Err(_) => Outcome::Unknown,
            };
            match outcome {
                Outcome::Acknowledged(answer) => self.acknowledged(&answer),
                Outcome::Refused(answer) => {
                    let expected = may_refuse.contains(&answer.status);
                    assert!(expected, "client {}: {} {}", self.number, answer.status, answer.text());
                }
                Outcome::Unknown => return,
            }
        }
    }

    /// Does one thing; what it was is written down before it is tried.
    fn act(&mut self, http: &Http) -> std::io::Result<Answer> {
        let known: Vec<usize> = (0..self.items.len()).filter(|i| self.items[*i].key.is_some()).collect();
        let chance = self.dice.below(100);
        if known.is_empty() || chance < 40 {
            let title = format!("client {} trouble {} of {:x}", self.number, self.items.len(), self.dice.next());
            self.items.push(Item { title, key: None, users: (0, 0), taken: (false, false), notes: Vec::new() });
            let item = self.items.last().expect("it was pushed just now");
            return create(http, &item.title);
        }
        let at = *self.dice.pick(&known);
        let word = self.dice.next();
        // The item that was acted upon is the last, so that an acknowledgement finds it.
        let item = self.items.remove(at);
        self.items.push(item);
        let item = self.items.last_mut().expect("it was pushed just now");
        let path = format!("/api/v1/records/incident/{}", item.key.as_deref().expect("it is known"));
        if chance < 60 {
            let text = format!("note {word:x}");
            item.notes.push((text.clone(), false));
            return http.ask("POST", &format!("{path}/notes"), &json!({"text": text}));
        }
        if chance < 75 && !item.taken.1 {
            item.taken.1 = true;
            return http.ask("POST", &format!("{path}/transitions/acknowledge"), &json!({}));
        }
        item.users.1 += 1;
        http.ask("PATCH", &path, &json!({"fields": {"users_affected": item.users.1}}))
    }

    /// The last act was acknowledged: which one it was can be read from its answer.
    fn acknowledged(&mut self, answer: &Answer) {
        let item = self.items.last_mut().expect("an act has an item");
        let body = answer.json();
        match (item.key.is_none(), body["action"].as_str()) {
            (true, _) => item.key = body["key"].as_str().map(str::to_owned),
            (false, Some("note")) => item.notes.last_mut().expect("a note was written").1 = true,
            (false, _) => {
                item.users.0 = body["fields"]["users_affected"].as_u64().unwrap_or(item.users.0);
                item.taken.0 = body["fields"]["acknowledged_at"].is_string();
            }
        }
    }
}
