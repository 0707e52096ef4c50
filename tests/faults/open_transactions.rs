//! Transactions of others that were aborted, or left open, at the end of the topics.

use std::time::Duration;

use nyc311_testkit::source_rows::city;

use crate::PROGRAM;

#[tokio::test]
async fn a_poll_completes_past_aborted_and_open_transactions_at_the_end_of_the_topics() {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let simulator = city(500);
    let mut service = PROGRAM.service(&simulator.resource_url(), &[]).await;
    service.start().await;
    let kafka = service.settings.kafka.clone();
    let foreign = |name: &str| -> BaseProducer {
        let producer: BaseProducer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", &kafka.bootstrap_servers)
            .set("transactional.id", format!("{}-{name}", kafka.group_prefix))
            .set("transaction.timeout.ms", "3000")
            .set("message.timeout.ms", "3000")
            .create()
            .unwrap();
        producer.init_transactions(Duration::from_secs(20)).unwrap();
        producer.begin_transaction().unwrap();
        producer
    };
    let aborted = foreign("aborted");
    for topic in [&kafka.raw_topic, &kafka.enriched_topic, &kafka.dead_letter_topic] {
        aborted.send(BaseRecord::<(), str>::to(topic).partition(1).payload("never seen")).ok().unwrap();
    }
    aborted.flush(Duration::from_secs(10)).unwrap();
    aborted.abort_transaction(Duration::from_secs(20)).unwrap();
    service.poll().await;

    // A producer that died in the middle of its transaction holds readers back until the broker ends it.
    let open = foreign("open");
    open.send(BaseRecord::<(), str>::to(&kafka.enriched_topic).partition(2).payload("never seen"))
        .ok()
        .unwrap();
    open.flush(Duration::from_secs(10)).unwrap();
    let poll = service.poll().await;
    assert_eq!(poll["counts"]["stored"], 0);
    assert_eq!(service.database.number("select count(*) from nyc311.dead_letter").await, 0);
}
