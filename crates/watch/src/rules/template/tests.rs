//! Texts as rule files have them, with what Prometheus makes of them; and that no text does harm.

use super::*;
use proptest::prelude::*;

fn fill() -> Fill<'static> {
    let labels = LabelSet::from([("instance".into(), "web-1.example.org:9100".into()), ("job".into(), "node".into())]);
    let found = |host: &str, value| Found { labels: LabelSet::from([("host".into(), host.into())]), value };
    let answers = BTreeMap::from([
        ("up".into(), Ok(vec![found("b", 1.0), found("a", 0.0)])),
        ("none".into(), Ok(Vec::new())),
        ("bad".into(), Err("no such thing".into())),
    ]);
    Fill { labels, value: 0.12345, external_url: "http://x", now: 1.0, answers, ..Fill::default() }
}

fn filled(text: &str) -> String {
    match Template::parse(text).map(|t| t.fill(&fill())) {
        Ok(Ok(text)) => text,
        Ok(Err(failure)) => format!("failed: {failure}"),
        Err(error) => format!("refused: {error}"),
    }
}

/// Texts and what becomes of them.
const TEXTS: &[(&str, &str)] = &[
    ("plain", "plain"),
    ("{{ $labels.instance }} of {{$labels.job}}", "web-1.example.org:9100 of node"),
    ("{{ $labels.nothing }}|", "|"),
    ("{{ $value }}", "0.12345"),
    ("{{ value }} {{ labels.job }}", "0.12345 node"),
    ("{{ .Value }} {{ .Labels.job }}", "0.12345 node"),
    ("{{ $value | humanizePercentage }}", "12.35%"),
    ("{{ printf \"%.2f\" $value }}%", "0.12%"),
    ("{{ $value | printf \"%.1f\" }}", "0.1"),
    (
        "{{ printf \"%5.1f|%-5s|%05d|%d|%s|%q|%v\" 1.25 \"a\" 42 1.5 \"b\" \"c\" true }}",
        "  1.2|a    |00042|%!d(float64=1.5)|b|\"c\"|true",
    ),
    ("{{ humanize 1234567.0 }} {{ humanize 0.00025 }} {{ humanize 0 }}", "1.235M 250u 0"),
    ("{{ humanize1024 1048576.0 }} {{ humanize1024 1 }}", "1Mi 1"),
    ("{{ humanizeDuration 93784 }} {{ humanizeDuration 61 }} {{ humanizeDuration 0.025 }}", "1d 2h 3m 4s 1m 1s 25ms"),
    ("{{ humanizeDuration -3600 }} {{ humanizeDuration 1.5 }}", "-1h 0m 0s 1.5s"),
    ("{{ 1435065584.128 | humanizeTimestamp }}", "2015-06-23 13:19:44.128 +0000 UTC"),
    ("{{ if gt $value 0.1 }}high{{ else }}low{{ end }}", "high"),
    ("{{ if eq $labels.job \"db\" }}a{{ else if eq $labels.job \"node\" \"x\" }}b{{ else }}c{{ end }}", "b"),
    ("{{ if and $labels.job (not $labels.none) }}yes{{ end }}", "yes"),
    ("{{ range query \"up\" }}{{ .Labels.host }}={{ .Value }};{{ end }}", "b=1;a=0;"),
    ("{{ range $i, $v := query \"up\" | sortByLabel \"host\" }}{{ $i }}{{ $v.Labels.host }}{{ end }}", "0a1b"),
    ("{{ with query \"up\" }}{{ . | first | value | humanize }}{{ end }}", "1"),
    ("{{ with query \"none\" }}x{{ else }}nothing{{ end }}", "nothing"),
    ("{{ query \"up\" | first | label \"host\" }}", "b"),
    ("{{ $x := \"a\" }}{{ $x }}{{ if true }}{{ $x = \"b\" }}{{ end }}{{ $x }}", "ab"),
    ("a {{- /* note */ -}} b", "ab"),
    ("a\n  {{- \"x\" -}}\n b", "axb"),
    ("{{ reReplaceAll \"(.*):.*\" \"$1\" $labels.instance | toUpper }}", "WEB-1.EXAMPLE.ORG"),
    ("{{ stripPort $labels.instance }} {{ stripDomain $labels.instance }}", "web-1.example.org web-1:9100"),
    ("{{ match \"^web\" $labels.instance }}", "true"),
    ("{{ title \"disk of web\" }}", "Disk Of Web"),
    ("{{ len $labels }} {{ index $labels \"job\" }}", "2 node"),
    ("{{ `raw \"text\"` }}", "raw \"text\""),
    ("{{ print 1 2 \"a\" 3 }}", "1 2a3"),
    ("{{ parseDuration \"1h\" }}", "3600"),
    ("{{ graphLink \"up == 0\" }}", "/graph?g0.expr=up+%3D%3D+0&g0.tab=0"),
    ("{{ $labels }}", "map[instance:web-1.example.org:9100 job:node]"),
    ("{{ 1e9 }} {{ 10000000000000000000000.0 }} {{ 0.00001 }}", "1e+09 1e+22 1e-05"),
    ("{{ range $labels }}{{ . }},{{ end }}", "web-1.example.org:9100,node,"),
];

#[test]
fn texts_are_filled_in() {
    for (text, expected) in TEXTS {
        assert_eq!(filled(text), *expected, "{text}");
    }
}

/// The same table through Debian's promtool. Left out is what only Mainstay knows, `gt` of a float and a whole number, which
/// Go refuses, and what depends on the order of an answer, which promtool leaves open.
#[test]
fn promtool_fills_them_in_alike() {
    let ours = ["{{ value }}", "{{ range $labels }}"];
    let in_any_order = |text: &str| text.contains("query \"up\"") && !text.contains("sortByLabel");
    let kept = TEXTS.iter().filter(|(text, _)| !ours.iter().any(|own| text.contains(own)) && !in_any_order(text));
    let texts: BTreeMap<String, (&str, &str)> = kept.enumerate().map(|(i, one)| (format!("t{i}"), *one)).collect();
    let annotations: BTreeMap<_, _> = texts.iter().map(|(name, (text, _))| (name, text)).collect();
    let expected: BTreeMap<_, _> = texts.iter().map(|(name, (_, expected))| (name, expected)).collect();
    let rules = serde_json::json!({"groups": [{"name": "a", "rules": [{"alert": "X", "expr": "v * 1", "annotations": annotations}]}]});
    let up = |host: &str, value: &str| serde_json::json!({"series": format!("up{{host=\"{host}\"}}"), "values": value});
    let labels = serde_json::json!({"instance": "web-1.example.org:9100", "job": "node"});
    let tests = serde_json::json!({"rule_files": ["rules.yml"], "tests": [{
        "interval": "1m", "external_url": "http://x",
        "input_series": [
            {"series": "v{instance=\"web-1.example.org:9100\", job=\"node\"}", "values": "0.12345"}, up("b", "1"), up("a", "0"),
        ],
        "alert_rule_test": [{"eval_time": "0m", "alertname": "X", "exp_alerts": [{"exp_labels": labels, "exp_annotations": expected}]}],
    }]});
    let folder = std::env::temp_dir().join(format!("mainstay-texts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("rules.yml"), rules.to_string()).unwrap();
    std::fs::write(folder.join("tests.yml"), tests.to_string()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the real peer, which ends by itself")]
    let output =
        std::process::Command::new("promtool").args(["test", "rules", "tests.yml"]).current_dir(&folder).output();
    let output = output.expect("promtool is not installed: apt-get install prometheus");
    std::fs::remove_dir_all(&folder).unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
}

#[test]
fn what_cannot_be_filled_in_says_why() {
    for (text, expected) in [
        ("{{ $nope }}", "failed: $nope is not known"),
        ("{{ humanise 1 }}", "failed: there is no function humanise; did you mean humanize?"),
        ("{{ first (query \"none\") }}", "failed: first() of an answer without series"),
        ("{{ query \"bad\" }}", "failed: query \"bad\": no such thing"),
        ("{{ query \"else\" }}", "failed: needs the answer to else"),
        ("a\n{{ if true }}", "refused: line 2: if without its end"),
        ("{{ $labels.job ", "refused: line 1: an action that does not end: }} is missing"),
        ("{{ end }}", "refused: line 1: an end or else without its beginning"),
        ("{{ (1 }}", "refused: line 1: a ( without its )"),
        ("{{ define \"x\" }}{{ end }}", "refused: line 1: define is not taken in the text of an alert"),
    ] {
        assert_eq!(filled(text), expected, "{text}");
    }
}

#[test]
fn a_text_cannot_work_for_ever_or_fill_the_memory() {
    let loops = |n: usize| "{{ range query \"up\" }}".repeat(n) + "0123456789" + &"{{ end }}".repeat(n);
    assert!(filled(&loops(40)).starts_with("failed: it "), "2^40 rounds");
    assert!(filled(&"{{ if true }}".repeat(80)).starts_with("refused"), "too deep");
    assert!(filled(&("{{".to_owned() + &"(".repeat(9000))).starts_with("refused"), "too deep");
    assert!(filled("{{ printf \"%999999999d\" 1 }}").len() <= 200);
}

proptest! {
    #[test]
    fn any_text_is_filled_in_or_refused(text in "(\\{\\{|\\}\\}|\\$|\\.|\"|`| |-|\\||:=|if|end|range|else|with|query|up|labels|value|printf|\\(|\\)|%|[a-z]|[0-9]|\\PC){0,40}") {
        filled(&text);
    }
}
