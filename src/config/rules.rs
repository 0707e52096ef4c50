//! The rules that bind several settings, or that a form cannot say.

use std::collections::BTreeMap;

use nyc311_domain::is_system_field;

use super::error::SettingProblem;
use super::origin::SettingOrigin;
use super::reading::{Effective, by_path};
use super::sections::Settings;
use super::source::SourceSettings;
use super::unit::{Short, size};
use super::{faults, http, kafka, properties, source, supervision, write};

/// Checks what no single form can; a rule about a setting that is wrong already keeps silent.
pub fn check(settings: &Settings, effective: &[Effective], problems: &mut Vec<SettingProblem>) {
    let mut rules = Rules { effective: by_path(effective), problems };
    check_http(settings, &mut rules);
    check_http_tls(settings, &mut rules);
    check_source(settings, &mut rules);
    check_kafka(settings, &mut rules);
    let supervision = &settings.supervision;
    if supervision.backoff_initial > supervision.backoff_max {
        rules.broken(
            supervision::DECLARED.backoff_max.path(),
            &[supervision::DECLARED.backoff_initial.path()],
            format!(
                "is below supervision.backoff_initial = {}, where the delays start",
                Short(supervision.backoff_initial)
            ),
            "raise it, or lower supervision.backoff_initial",
        );
    }
    if !settings.faults.enabled && !settings.faults.at_start.is_empty() {
        rules.broken(
            faults::DECLARED.at_start.path(),
            &[faults::DECLARED.enabled.path()],
            "would break the program, and faults.enabled is not set".to_owned(),
            "leave it out, or set NYC311_FAULTS__ENABLED=true where nothing is lost by it",
        );
    }
    if settings.write.max_bytes < settings.kafka.raw_max_record_bytes {
        rules.broken(
            write::DECLARED.max_bytes.path(),
            &[kafka::DECLARED.raw_max_record_bytes.path()],
            format!(
                "is below kafka.raw_max_record_bytes = {}, so the largest record would fit no batch",
                size(settings.kafka.raw_max_record_bytes)
            ),
            "raise it, or lower kafka.raw_max_record_bytes",
        );
    }
}

struct Rules<'a> {
    effective: BTreeMap<&'static str, &'a Effective>,
    problems: &'a mut Vec<SettingProblem>,
}

impl Rules<'_> {
    fn broken(&mut self, path: &str, with: &[&str], detail: String, remedy: &str) {
        let wrong = |path: &str| self.effective.get(path).is_some_and(|noted| noted.wrong);
        if wrong(path) || with.iter().any(|path| wrong(path)) {
            return;
        }
        let noted = self.effective.get(path);
        self.problems.push(SettingProblem {
            path: path.to_owned(),
            value: noted.and_then(|noted| noted.written.clone()),
            origin: noted.map_or(SettingOrigin::Default, |noted| noted.origin.clone()),
            detail,
            remedy: remedy.to_owned(),
        });
    }
}

fn check_http(settings: &Settings, rules: &mut Rules<'_>) {
    match &settings.http.token {
        None if !settings.http.listen.ip().is_loopback() => rules.broken(
            http::DECLARED.listen.path(),
            &[http::DECLARED.token.path()],
            "is not a loopback address, and http.token is not set: whoever reaches it could start and cancel polls".to_owned(),
            "set NYC311_HTTP__TOKEN or NYC311_HTTP__TOKEN_FILE, or listen on 127.0.0.1",
        ),
        Some(token) if token.expose().len() < 16 => rules.broken(
            http::DECLARED.token.path(),
            &[],
            format!("has {} characters, so it can be guessed", token.expose().len()),
            "take 16 or more, as `openssl rand -hex 32` gives",
        ),
        _ => {}
    }
}

fn check_http_tls(settings: &Settings, rules: &mut Rules<'_>) {
    let certificate = (http::DECLARED.tls_certificate.path(), settings.http.tls_certificate.is_some());
    let key = (http::DECLARED.tls_key.path(), settings.http.tls_key.is_some());
    for ((path, is_set), (other, other_is_set)) in [(certificate, key), (key, certificate)] {
        if is_set && !other_is_set {
            rules.broken(
                path,
                &[other],
                format!("is set and {other} is not, and TLS needs both"),
                "set both, or neither",
            );
        }
    }
}

fn check_source(settings: &Settings, rules: &mut Rules<'_>) {
    let source = &settings.source;
    let dataset = source.dataset();
    let path = source.url.splitn(4, '/').nth(3).unwrap_or_default();
    if dataset.is_empty() || path.is_empty() {
        rules.broken(
            source::DECLARED.url.path(),
            &[],
            "names no resource".to_owned(),
            "write the address of one, as https://data.cityofnewyork.us/resource/erm2-nwe9.json",
        );
    }
    check_columns(source, rules);
    if source.retry_initial_interval > source.retry_max_interval {
        rules.broken(
            source::DECLARED.retry_max_interval.path(),
            &[source::DECLARED.retry_initial_interval.path()],
            format!(
                "is below source.retry_initial_interval = {}, where the pauses start",
                Short(source.retry_initial_interval)
            ),
            "raise it, or lower source.retry_initial_interval",
        );
    }
}

/// The system fields that no row can do without: the walk goes by the first two, the third tells versions
/// apart, and all but `:id` are stored.
const SYSTEM_FIELDS: [&str; 4] = [":id", ":updated_at", ":version", ":created_at"];

fn check_columns(source: &SourceSettings, rules: &mut Rules<'_>) {
    let named = |name: &str| source.columns.iter().any(|column| column == name);
    if named(":*") || !source.columns.iter().any(|column| is_system_field(column)) {
        return;
    }
    let missing: Vec<&str> = SYSTEM_FIELDS.into_iter().filter(|field| !named(field)).collect();
    if !missing.is_empty() {
        rules.broken(
            source::DECLARED.columns.path(),
            &[],
            format!("names some system fields and not {}, and a row needs all four", missing.join(", ")),
            "name all of :id, :updated_at, :version and :created_at, or `:*`, or no system field at all",
        );
    }
}

fn check_kafka(settings: &Settings, rules: &mut Rules<'_>) {
    let kafka = &settings.kafka;
    let topics = [
        (kafka::DECLARED.raw_topic.path(), &kafka.raw_topic),
        (kafka::DECLARED.enriched_topic.path(), &kafka.enriched_topic),
        (kafka::DECLARED.dead_letter_topic.path(), &kafka.dead_letter_topic),
    ];
    for (at, (path, topic)) in topics.iter().enumerate() {
        if let Some((other, _)) = topics[..at].iter().find(|(_, name)| name == topic) {
            rules.broken(
                path,
                &[other],
                format!("is the same topic as {other}"),
                "name three different topics",
            );
        }
    }
    if kafka.replication_factor == 0 {
        rules.broken(
            kafka::DECLARED.replication_factor.path(),
            &[],
            "is no number of replicas".to_owned(),
            "write -1 for the broker's default, or 1 and more",
        );
    }
    if kafka.bootstrap_servers.split(',').any(|server| server.trim().is_empty()) {
        rules.broken(
            kafka::DECLARED.bootstrap_servers.path(),
            &[],
            "has an empty place".to_owned(),
            "write host:port,host:port",
        );
    }
    for name in kafka.properties.keys() {
        if let Some(reason) = properties::refusal(name) {
            rules.broken(
                kafka::DECLARED.properties.path(),
                &[],
                format!("sets {name}, which is fixed: {reason}"),
                "leave it out",
            );
        }
    }
    for (detail, remedy) in properties::impossible(&kafka.properties, properties::Build::THIS) {
        rules.broken(kafka::DECLARED.properties.path(), &[], detail, remedy);
    }
}
