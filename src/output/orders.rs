//! What another thread has the network thread do: services begin and end, settings change. The network thread does one at
//! a time between two waits, and waits for nobody.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::clock;
use crate::directory::Service;
use crate::hypervisor::{Source, SourceId, View};
use crate::output::Waker;
use crate::pipeline::PipelineHandle;
use crate::server::{Server, Settings};

/// Something for the network thread to do.
pub enum Order {
    /// Serves `service` by `name` from now on. None of that name is there.
    Open {
        /// What clients ask for.
        name: String,
        /// What they are shown.
        service: Service,
        /// The service's sources, opened.
        sources: Vec<(SourceId, Box<dyn Source>)>,
    },
    /// Ends a service.
    End {
        /// Its name.
        name: String,
        /// What its clients are told.
        why: String,
    },
    /// Settings change.
    Settle(Settings),
    /// Nothing: only the answer is wanted.
    Report,
}

/// How things stand once an order is carried out.
#[derive(Debug, Default)]
pub struct Report {
    /// Why the order was not carried out, if it was not.
    pub refused: Option<String>,
    /// Sessions, those that are closing included.
    pub sessions: usize,
    /// Open sessions of each service that has any.
    pub watched: BTreeMap<String, usize>,
    /// What each source showed when it was looked at last; `None`: it has not been yet.
    pub views: Vec<(SourceId, Option<View>)>,
}

/// The end of whoever gives orders.
#[derive(Debug)]
pub struct Orders {
    orders: SyncSender<Order>,
    reports: Receiver<Report>,
    network: Waker,
    news: Waker,
}

/// The network thread's end.
#[derive(Debug)]
pub struct Desk {
    orders: Receiver<Order>,
    reports: SyncSender<Report>,
    news: Waker,
    /// As [`PipelineHandle::seen`] was when there was news last.
    seen: u64,
}

/// Both ends; `network` wakes the network thread.
///
/// # Errors
/// If the kernel has no file descriptor left.
pub fn orders(network: Waker) -> io::Result<(Orders, Desk)> {
    let (give, orders) = sync_channel(1);
    let (answer, reports) = sync_channel(1);
    let news = Waker::new()?;
    let desk = Desk { orders, reports: answer, news: news.clone(), seen: 0 };
    Ok((Orders { orders: give, reports, network, news }, desk))
}

impl Orders {
    /// Has `order` carried out, and waits for that. `None`: the network thread has ended.
    pub fn give(&self, order: Order) -> Option<Report> {
        self.orders.send(order).ok()?;
        self.network.wake();
        self.reports.recv().ok()
    }

    /// Takes note of the news for which it became readable.
    pub fn settle(&self) {
        self.news.settle();
    }
}

/// Readable when a source shows something else than before, or the network thread has ended.
impl AsFd for Orders {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }
}

impl Desk {
    /// Carries out what was ordered, and says if there is news.
    pub(super) fn attend(&mut self, server: &mut Server, pipeline: &PipelineHandle) {
        // What an order leaves to be said is said before the next comes: whoever gives them waits for each.
        if let Ok(order) = self.orders.try_recv() {
            let refused = carry_out(order, server, pipeline).err();
            let watched =
                server.watched().into_iter().map(|(name, sessions)| (name.to_owned(), sessions)).collect();
            let report = Report { refused, sessions: server.sessions(), watched, views: pipeline.views() };
            // Whoever asked may have gone.
            let _ = self.reports.try_send(report);
        }
        let seen = pipeline.seen();
        if std::mem::replace(&mut self.seen, seen) != seen {
            self.news.wake();
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.news.wake();
    }
}

fn carry_out(order: Order, server: &mut Server, pipeline: &PipelineHandle) -> Result<(), String> {
    match order {
        Order::Open { name, service, sources } => {
            let ids: Vec<_> = sources.iter().map(|(id, _)| *id).collect();
            for (id, source) in sources {
                if let Err(full) = pipeline.add(id, source) {
                    ids.iter().for_each(|id| pipeline.remove(*id));
                    return Err(full.to_string());
                }
            }
            server.open_service(&name, service);
        }
        Order::End { name, why } => server.end_service(clock::now(), &name, &why),
        Order::Settle(settings) => server.settle(settings),
        Order::Report => {}
    }
    Ok(())
}
