//! The generated city.

use std::collections::{HashMap, HashSet};

use nyc311_simulator::{Simulator, SimulatorOptions, serve};
use serde_json::Value;

use crate::client::{client, walk};
use crate::rows::{identity, parsed, text};

fn city(change: impl FnOnce(&mut SimulatorOptions)) -> Simulator {
    let mut options = SimulatorOptions { rows: 3_000, rows_per_day: 250, ..SimulatorOptions::default() };
    change(&mut options);
    serve(&options).unwrap()
}

#[tokio::test]
async fn a_generated_city_is_walked_whole_whatever_the_page_size() {
    let simulator = city(|_| ());
    let client = client(&simulator);
    let whole = walk(&client, 50_000).await;
    let keys: HashSet<String> = whole.iter().map(|row| text(&parsed(row), "unique_key").to_owned()).collect();
    assert_eq!((whole.len(), keys.len()), (3_000, 3_000));
    for limit in [10, 37, 500, 2_999, 3_000] {
        assert!(walk(&client, limit).await == whole, "{limit}");
    }
}

#[tokio::test]
async fn a_generated_city_hangs_on_its_seed_alone() {
    let rows = async |seed: u64| walk(&client(&city(|options| options.seed = seed)), 1_000).await;
    let first = rows(1).await;
    assert!(first == rows(1).await);
    assert!(first != rows(2).await);
}

#[tokio::test]
async fn a_generated_city_shows_every_version_when_told() {
    let simulator = city(|options| {
        options.every_version = true;
        options.clock = Some("2030-01-01T00:00:00Z".parse().unwrap());
    });
    let rows: Vec<Value> = walk(&client(&simulator), 333).await.iter().map(|row| parsed(row)).collect();
    let mut versions: HashMap<String, Vec<&Value>> = HashMap::new();
    for row in &rows {
        versions.entry(text(row, "unique_key").to_owned()).or_default().push(row);
    }
    let identities: HashSet<_> = rows.iter().map(identity).collect();
    assert_eq!(identities.len(), rows.len());
    let changed = versions.values().filter(|versions| versions.len() > 1).count();
    assert!((1_200..1_450).contains(&changed), "{changed} of 3000 change");
    for of_one in versions.values() {
        let constant =
            ["created_date", "complaint_type", "latitude", ":id", ":created_at", "borough", "agency"];
        assert!(constant.iter().all(|name| of_one.iter().all(|row| row.get(*name) == of_one[0].get(*name))));
    }
}
