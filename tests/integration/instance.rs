//! One process at a time goes under an `instance.id`.

use std::time::{Duration, Instant};

use nyc311::config::{DatabaseSettings, Secret};
use nyc311::store::{InstanceClaim, InstanceHold, InstanceOwner, InstanceRun, Store};
use nyc311_testkit::source_rows::city;
use nyc311_testkit::{Cut, Proxy, TestDatabase};
use serde_json::json;
use uuid::Uuid;

use crate::PROGRAM;

fn run_of(instance_id: &str, process_id: u32) -> InstanceRun {
    InstanceRun {
        instance_id: instance_id.to_owned(),
        run_id: Uuid::new_v4(),
        host: "here".to_owned(),
        process_id,
        started_at: "2026-01-01T00:00:00Z".parse().unwrap(),
    }
}

async fn held(store: &Store, run: &InstanceRun) -> InstanceHold {
    match store.claim_instance(run, None).await.unwrap() {
        InstanceClaim::Held(hold) => hold,
        InstanceClaim::Taken(owner) => panic!("{owner:?}"),
    }
}

async fn owner(store: &Store, run: &InstanceRun, silent: Option<&InstanceOwner>) -> InstanceOwner {
    match store.claim_instance(run, silent).await.unwrap() {
        InstanceClaim::Held(_) => panic!("the name is another's"),
        InstanceClaim::Taken(owner) => owner,
    }
}

#[tokio::test]
async fn a_name_is_free_when_its_owner_is_gone_or_was_silent_for_a_lease() {
    let database = TestDatabase::create().await;
    let (one, two) = (run_of("a", 1), run_of("a", 2));
    let first = held(&database, &one).await;
    assert!(first.renew(&one).await.unwrap());
    let seen = owner(&database, &two, None).await;
    assert_eq!((seen.run_id, seen.process_id, seen.host.as_str()), (one.run_id, 1, "here"));
    held(&database, &run_of("b", 2)).await;

    // Silence counts only as long as it lasts.
    assert!(first.renew(&one).await.unwrap());
    let renewed = owner(&database, &two, Some(&seen)).await;
    assert!(renewed.renewed_at > seen.renewed_at);
    let InstanceClaim::Held(second) = database.claim_instance(&two, Some(&renewed)).await.unwrap() else {
        panic!("the owner was silent")
    };
    assert!(!first.renew(&one).await.unwrap(), "the name is another's");
    assert!(second.renew(&two).await.unwrap());

    // A connection that has ended tells at once; that of this same run may be another one.
    drop(second);
    let third = run_of("a", 3);
    let began = Instant::now();
    loop {
        if let InstanceClaim::Held(hold) = database.claim_instance(&third, None).await.unwrap() {
            held(&database, &third).await;
            assert!(hold.renew(&third).await.unwrap());
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "the end of a connection is not noticed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    database.release_instance(&third).await.unwrap();
    assert_eq!(database.number("select count(*) from nyc311.instance where instance_id = 'a'").await, 0);
}

#[tokio::test]
async fn of_many_that_start_together_one_gets_the_name() {
    let database = TestDatabase::create().await;
    let runs: Vec<_> = (0..8).map(|process| run_of("a", process)).collect();
    let claims = runs.iter().map(|run| database.claim_instance(run, None));
    let claims = futures_util::future::join_all(claims).await;
    let held = claims.iter().filter(|claim| matches!(claim, Ok(InstanceClaim::Held(_)))).count();
    assert_eq!(held, 1);
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_is_the_same_runs_when_it_is_repeated() {
    let database = TestDatabase::create().await;
    let (proxy, url) = Proxy::in_front_of(database.settings.url.expose()).await;
    let settings = DatabaseSettings { url: Secret::new(url), ..database.settings.clone() };
    let store = Store::new(&settings).unwrap();
    let run = run_of("a", 1);
    proxy.cut("pg_backend_pid", Cut::Answer, 1);
    assert!(store.claim_instance(&run, None).await.is_err());
    assert!(held(&store, &run).await.renew(&run).await.unwrap());
}

#[tokio::test]
async fn a_second_process_of_one_name_ends_with_78_and_the_first_goes_on() {
    let simulator = city(3_000);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[("source.page_rows", "200")]).await;
    service.start().await;
    let id = service.submit(json!({})).await;
    let own = service.settings.instance.id.clone();
    service.spawn(&["run"], &[("NYC311_HTTP__LISTEN", "127.0.0.1:0")]);
    assert_eq!(service.ended().await, 78, "{}", service.log());
    let log = service.log();
    for told in [own.as_str(), "is in use since", "by process", "of its own"] {
        assert!(log.contains(told), "{told}: {log}");
    }
    let poll = service.finished(&id).await;
    assert_eq!(poll["state"], "succeeded", "{poll:#}");
    assert_eq!(poll["counts"]["republished"], 0, "{poll:#}");
}
