//! Answers are bounded in bytes, whatever a task carries: a page ends early and says where it goes on.

use tenure::Error;
use tenure::store::{BoxFuture, Cursor, Page};

/// The bytes of what a page has, but for its last item.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many items are read at once, and before anything is known of their size.
const STEP_MAX: usize = 128;
const FIRST: usize = 32;

/// Up to `limit` items from behind `after` on, fewer where they are large; and whether they are fewer for that.
pub(super) async fn within<'s, T>(
    (after, limit): (Option<Cursor>, usize),
    read: impl Fn(Option<Cursor>, usize) -> BoxFuture<'s, Result<Page<T>, Error>>,
    size: impl Fn(&T) -> usize,
) -> Result<(Page<T>, bool), Error> {
    let (mut items, mut next, mut bytes, mut largest) = (Vec::new(), after, 0_usize, 1);
    let mut step = FIRST.min(limit);
    loop {
        let page = read(next, step).await?;
        let is_whole = page.items.len() < step || page.next.is_none();
        for size in page.items.iter().map(&size) {
            bytes += size;
            largest = largest.max(size);
        }
        items.extend(page.items);
        next = page.next;
        if is_whole || items.len() >= limit {
            return Ok((Page { items, next }, false));
        }
        if bytes >= PAGE_BYTES_MAX {
            return Ok((Page { items, next }, true));
        }
        // As many as fit, if all are like the largest before them.
        let fit = (PAGE_BYTES_MAX - bytes) / largest;
        step = fit.clamp(1, STEP_MAX).min(limit - items.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of so many items of that size.
    async fn listed(count: usize, size: usize, limit: usize) -> (Page<usize>, bool, Vec<usize>) {
        let asked = std::sync::Mutex::new(Vec::new());
        let read = |after: Option<Cursor>, step: usize| -> BoxFuture<'static, _> {
            asked.lock().expect("nobody panicked").push(step);
            let from: usize = after.map_or(0, |after| after.as_str().parse().expect("a number"));
            let to = (from + step).min(count);
            let next = (to < count).then(|| Cursor::from_text(to.to_string()));
            Box::pin(std::future::ready(Ok(Page { items: (from..to).collect(), next })))
        };
        let (page, is_cut) = within((None, limit), read, |_| size).await.expect("a page");
        (page, is_cut, asked.into_inner().expect("nobody panicked"))
    }

    #[tokio::test]
    async fn small_items_come_as_many_as_were_asked_for_in_a_few_steps() {
        let (page, is_cut, asked) = listed(5_000, 1_000, 1_000).await;
        assert_eq!((page.items.len(), is_cut), (1_000, false));
        assert!(asked.len() <= 9, "{asked:?}");
        let (page, is_cut, _) = listed(30, 1_000, 1_000).await;
        assert_eq!((page.items.len(), is_cut, page.next), (30, false, None));
    }

    #[tokio::test]
    async fn large_items_end_a_page_early_and_it_goes_on_where_it_ended() {
        let (page, is_cut, _) = listed(5_000, 256 * 1024, 1_000).await;
        assert!(is_cut && page.items.len() <= FIRST, "{}", page.items.len());
        assert_eq!(page.next.map(|next| next.as_str().to_owned()), Some(page.items.len().to_string()));
    }

    #[tokio::test]
    async fn one_large_item_among_small_ones_makes_the_steps_small() {
        let asked = std::sync::Mutex::new(Vec::new());
        let read = |after: Option<Cursor>, step: usize| -> BoxFuture<'static, _> {
            asked.lock().expect("nobody panicked").push(step);
            let from: usize = after.map_or(0, |after| after.as_str().parse().expect("a number"));
            let next = Some(Cursor::from_text((from + step).to_string()));
            Box::pin(std::future::ready(Ok(Page { items: (from..from + step).collect(), next })))
        };
        let size = |item: &usize| if *item == 20 { 2 * 1024 * 1024 } else { 100 };
        let (page, is_cut) = within((None, 40), read, size).await.expect("a page");
        assert_eq!((page.items.len(), is_cut), (40, false));
        assert!(asked.lock().expect("nobody panicked").iter().skip(1).all(|step| *step <= 3), "{asked:?}");
    }

    #[tokio::test]
    async fn however_large_items_are_some_come() {
        let (page, is_cut, _) = listed(5_000, 16 * 1024 * 1024, 1_000).await;
        assert!(is_cut && !page.items.is_empty() && page.items.len() <= FIRST);
    }
}
