//! Lets one process at a time go under an instance id, as a row that it renews and a connection that it keeps
//! open.
//!
//! No lock that belongs to a session: a process that is stopped in the middle of everything would hold it for
//! as long as its host keeps the connection. Whether a name is free is decided by one statement, so of two
//! that start together one wins. It is free
//!
//! - where nobody has it, or this same run has;
//! - where the owner's connection has ended, which a SIGKILL does at once. A server that was restarted since
//!   the last renewal has ended it too, and says nothing by that;
//! - where the caller has watched for a whole lease that the owner no longer renews.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::fault_point;

/// The end of a process does not wait for the database: the end of the connection tells as much.
const RELEASE_WITHIN: Duration = Duration::from_millis(500);

/// One life of a process under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRun {
    pub instance_id: String,
    pub run_id: Uuid,
    pub host: String,
    pub process_id: u32,
    pub started_at: Timestamp,
}

/// Who has a name, and when it said so last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceOwner {
    pub run_id: Uuid,
    pub host: String,
    pub process_id: i64,
    pub started_at: Timestamp,
    pub renewed_at: Timestamp,
}

/// The answer to a claim.
pub enum InstanceClaim {
    Held(InstanceHold),
    Taken(InstanceOwner),
}

/// The connection that stands for this process. Dropping it gives the name up.
pub struct InstanceHold {
    client: deadpool_postgres::ClientWrapper,
    store: Store,
}

impl Store {
    /// Takes a name, if it is free. `silent` is an owner that was seen not to renew for a whole lease, with
    /// its last renewal.
    pub async fn claim_instance(
        &self,
        run: &InstanceRun,
        silent: Option<&InstanceOwner>,
    ) -> Result<InstanceClaim, StoreError> {
        fault_point!("environment:claim_instance:before");
        let client = self.client().await?;
        let silent_run = silent.map(|owner| owner.run_id);
        let silent_since = silent.map(|owner| owner.renewed_at);
        let process_id = i64::from(run.process_id);
        let owner = self
            .bounded(async {
                let taken = client
                    .query_opt(
                        "insert into nyc311.instance as i
                             (instance_id, run_id, host, process_id, backend_pid, backend_started_at,
                              started_at, renewed_at)
                         select $1, $2, $3, $4, a.pid, a.backend_start, $5, clock_timestamp()
                         from pg_stat_activity a where a.pid = pg_backend_pid()
                         on conflict (instance_id) do update
                         set run_id = excluded.run_id, host = excluded.host,
                             process_id = excluded.process_id, backend_pid = excluded.backend_pid,
                             backend_started_at = excluded.backend_started_at,
                             started_at = excluded.started_at, renewed_at = excluded.renewed_at
                         where i.run_id = excluded.run_id
                            or i.run_id = $6 and i.renewed_at = $7
                            or i.renewed_at > pg_postmaster_start_time() and not exists (
                                   select from pg_stat_activity a
                                   where a.pid = i.backend_pid
                                     -- of another user's connection only the number can be seen
                                     and (a.backend_start = i.backend_started_at or a.backend_start is null))
                         returning 1",
                        &[
                            &run.instance_id,
                            &run.run_id,
                            &run.host,
                            &process_id,
                            &run.started_at,
                            &silent_run,
                            &silent_since,
                        ],
                    )
                    .await?;
                if taken.is_some() {
                    return Ok(None);
                }
                let row = client
                    .query_one(
                        "select run_id, host, process_id, started_at, renewed_at from nyc311.instance
                         where instance_id = $1",
                        &[&run.instance_id],
                    )
                    .await?;
                Ok(Some(InstanceOwner {
                    run_id: row.get(0),
                    host: row.get(1),
                    process_id: row.get(2),
                    started_at: row.get(3),
                    renewed_at: row.get(4),
                }))
            })
            .await?;
        fault_point!("environment:claim_instance:after");
        Ok(match owner {
            // Out of the pool for good: it is open for as long as the process lives.
            None => InstanceClaim::Held(InstanceHold {
                client: deadpool_postgres::Object::take(client),
                store: self.clone(),
            }),
            // Back to the pool: whoever looks again needs no other one.
            Some(owner) => InstanceClaim::Taken(owner),
        })
    }

    /// Gives a name up, so that whoever starts next need not find out.
    pub async fn release_instance(&self, run: &InstanceRun) -> Result<(), StoreError> {
        let release = async {
            fault_point!("environment:release_instance:before");
            let client = self.client().await?;
            let sql = "delete from nyc311.instance where instance_id = $1 and run_id = $2";
            client.execute(sql, &[&run.instance_id, &run.run_id]).await?;
            fault_point!("environment:release_instance:after");
            Ok(())
        };
        self.answered_within(RELEASE_WITHIN, release).await
    }
}

impl InstanceHold {
    /// Returns whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Says that the owner still lives; false where the name is another's.
    pub async fn renew(&self, run: &InstanceRun) -> Result<bool, StoreError> {
        let renewal = async {
            fault_point!("environment:renew_instance:before");
            let renewed = self
                .client
                .execute(
                    "update nyc311.instance set renewed_at = clock_timestamp()
                     where instance_id = $1 and run_id = $2",
                    &[&run.instance_id, &run.run_id],
                )
                .await?;
            fault_point!("environment:renew_instance:after");
            Ok(renewed == 1)
        };
        self.store.answered_within(self.store.limits.connect, renewal).await
    }
}
