//! What adaptive limits learn from: how long requests with a place took, to the head of the response.
//!
//! A body takes as long as its client does, and says nothing of who made it. A failure that came fast
//! says nothing good, or a service that fails would be sent more; one that took longer than a response
//! does without a queue is told as what it is, and so are a timeout and a client that would not wait.

use super::admission::Place;
use super::exchange::Walk;

impl Walk<'_, '_> {
    /// Tells what there is to learn from the request, which has ended.
    #[inline]
    pub(super) fn teach(&self) {
        if self.places.server.is_some() || self.places.service.is_some() {
            let places = [&self.places.server, &self.places.service];
            places
                .into_iter()
                .flatten()
                .for_each(|place| self.teach_by(place));
        }
    }

    fn teach_by(&self, place: &Place) {
        let Some(limit) = &place.door.bounds.adaptive else {
            return;
        };
        let router = self.by.router;
        let now = router.shard.now();
        let answered = self.request.answered_at;
        let took = answered.unwrap_or(now).saturating_sub(place.since);
        let success = answered.is_some() && self.response.status < 500;
        let is_slow = || (1..took).contains(&limit.baseline_ns());
        if success || is_slow() {
            limit.record(took, place.taken, now, router.random());
        }
    }
}
