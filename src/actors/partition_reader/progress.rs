//! The watch over a reader's progress: how far its partitions are behind, whether they move, and what is done
//! where they do not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;

use super::assigned::Change;
use super::{Destination, PartitionReader};
use crate::kafka::Partition;
use crate::kafka::admin::LogEnds;
use crate::supervision::{Place, Remedy, StageError, end_hung};
use crate::telemetry::labels::OfPartition;
use crate::telemetry::metrics::metrics;

impl<D: Destination> PartitionReader<D> {
    /// Measures lag and age of the partitions that this process owns (others have no say about them), and
    /// looks whether they move.
    pub(super) fn measure(&mut self, context: &mut Context<Self>) {
        self.look_for_place(context);
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let mut by_topic: HashMap<Arc<str>, Vec<i32>> = HashMap::new();
        for ((topic, partition), assigned) in self.partitions.iter() {
            let oldest = assigned.oldest_in_flight_ms();
            let age_seconds = oldest.map_or(0.0, |appended_at| (now_ms - appended_at).max(0) as f64 / 1000.0);
            let age = &metrics().oldest_uncommitted_record_age_seconds;
            age.of(OfPartition(topic, *partition)).set(age_seconds);
            by_topic.entry(topic.clone()).or_default().push(*partition);
        }
        for (topic, partitions) in by_topic {
            let admin = self.environment.admin.clone();
            let ends = async move {
                let ends = admin.log_ends(&topic, partitions.iter().copied()).await;
                (topic, partitions, ends)
            };
            context.spawn(ends.into_actor(self).map(|(topic, partitions, ends), actor, context| {
                // Without an answer the gauges keep what they showed, and readiness says that Kafka is away.
                let Ok(ends) = ends else { return };
                for (partition, ends) in partitions.into_iter().zip(ends) {
                    actor.look((topic.clone(), partition), ends, context);
                }
            }));
        }
    }

    /// Tells whether something that is waited for explains that nothing moves.
    fn is_excused(&self) -> bool {
        self.partitions.is_draining()
            || !self.environment.missing().is_empty()
            || self.life.board().waits(D::PATH)
    }

    fn show_stalled(&self) {
        let stalled =
            self.stalls.stalled().iter().filter(|stalled| stalled.stage == D::STAGE.as_str()).count();
        let stalled = i64::try_from(stalled).unwrap_or(i64::MAX);
        metrics().stalled_partitions.of(D::STAGE).set(stalled);
    }

    /// Looks whether each partition was given to somebody. A group at rest that has given out less than there
    /// is stays like that: a member with a stable name that came back in the middle of a rebalance got what
    /// it had before, and nobody hears of what it lacks. So a member begins anew, which the group has to
    /// answer with a rebalance: one without partitions first, and where each has some, whoever comes to it.
    fn look_for_place(&mut self, context: &mut Context<Self>) {
        let settings = &self.environment.settings;
        // The partitions of the others go with those of the first.
        let (topic, _) = D::topics(settings);
        let expected = usize::try_from(self.environment.partition_map.partitions()).unwrap_or(0);
        let (admin, group) = (self.environment.admin.clone(), D::group(settings));
        let asked = topic.clone();
        let given_out = async move { admin.given_out(&group, &asked).await };
        context.spawn(given_out.into_actor(self).map(move |given_out, actor, _| {
            // Without an answer there is nothing to conclude; the next look follows soon.
            let Ok(given_out) = given_out else { return };
            let left_over = expected.saturating_sub(given_out.partitions);
            let place = Place {
                is_missing: left_over > 0 && given_out.is_at_rest && !actor.is_excused(),
                has_partitions: !actor.partitions.is_empty(),
            };
            let remedy = actor.stalls.look_for_place(D::STAGE.as_str(), &topic, place, Instant::now());
            actor.show_stalled();
            let still = format!("{topic}: nobody has been given {left_over} partitions");
            match remedy {
                Remedy::Nothing => {}
                Remedy::Reopen | Remedy::Rebuild => {
                    actor.slot.renew();
                    actor.life.fail(StageError::new("reading", still));
                }
                Remedy::EndProcess => end_hung(format!("{still}, the process ends")),
            }
        }));
    }

    /// Looks whether a partition moves, and does what follows where it does not.
    fn look(&mut self, partition: Partition, ends: LogEnds, context: &mut Context<Self>) {
        let Some(assigned) = self.partitions.get(&partition) else { return };
        let (topic, number) = (&partition.0, partition.1);
        let position = assigned.position();
        let lag = position.map_or(0, |position| (ends.high - position.max(ends.low)).max(0));
        if position.is_some() {
            metrics().consumer_lag_records.of(OfPartition(topic, number)).set(lag);
        }
        let should_move = !self.is_excused() && (lag > 0 || position.is_none());
        let now = Instant::now();
        let remedy = self.stalls.look(D::STAGE.as_str(), (topic, Some(number)), position, should_move, now);
        self.show_stalled();
        if remedy == Remedy::Nothing {
            return;
        }
        let still = format!("{topic}/{number} makes no progress at {position:?}, {lag} records behind");
        tracing::error!(
            stage = D::STAGE.as_str(),
            topic = &**topic,
            partition = number,
            position,
            lag,
            ?remedy,
            "partition makes no progress though nothing that it waits for is away"
        );
        match remedy {
            Remedy::Nothing => {}
            Remedy::Reopen => self.on(Change::StandsStill(partition), context),
            Remedy::Rebuild => self.life.fail(StageError::new("reading", still)),
            Remedy::EndProcess => end_hung(format!("{still}, the process ends")),
        }
    }
}
