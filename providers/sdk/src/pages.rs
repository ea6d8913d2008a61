//! Answers that come in pages, by whichever of the usual ways a service numbers them.

use crate::http::{self, Request, Response};
use crate::{Error, Items, Result};
use serde::de::DeserializeOwned;
use std::fmt;

/// Pages beyond this are a server that leads in circles. The host bounds the requests of a call to
/// the same number.
const MOST: usize = 1_000;

/// Bytes that pages asked for side by side may come to, by the length of the first: all of them are in
/// memory at once.
const AT_ONCE: usize = 32 << 20;

/// What was found on all pages.
#[derive(Clone, Debug, Default)]
pub struct Pages<T> {
    pub items: Items<T>,
    /// The service has more than the bound.
    pub more: bool,
}

/// How an answer of type `P` leads to the next page.
pub struct Next<P>(Way<P>);

type Cursor<P> = Box<dyn Fn(&P, &Response) -> Option<String>>;

enum Way<P> {
    Link { size: usize },
    Number { parameter: &'static str, first: usize, size: usize },
    Offset { parameter: &'static str, size: usize },
    Cursor { parameter: &'static str, cursor: Cursor<P> },
}

impl<P> fmt::Debug for Next<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Way::Link { .. } => "Link",
            Way::Number { .. } => "Number",
            Way::Offset { .. } => "Offset",
            Way::Cursor { .. } => "Cursor",
        })
    }
}

impl<P> Next<P> {
    /// By the `Link` header (RFC 8288). Where no page has that header and one of `size` items comes,
    /// the next one is asked for by its number, in the query's `page`: an intermediary may have
    /// dropped the header, and only a page that is not full proves that there is no more.
    pub const fn link(size: usize) -> Self {
        Next(Way::Link { size })
    }

    /// By a page's number in the query, the first of which is `first`, until one holds less than
    /// `size` items.
    pub const fn number(parameter: &'static str, first: usize, size: usize) -> Self {
        Next(Way::Number { parameter, first, size })
    }

    /// By the number of items before the page, until one holds less than `size` items.
    pub const fn offset(parameter: &'static str, size: usize) -> Self {
        Next(Way::Offset { parameter, size })
    }

    /// By what the answer says: `None` or an empty text where it is the last. Of an address (it has a `?`)
    /// the query is taken, as of a link; else it is the value of `parameter`.
    pub fn cursor(
        parameter: &'static str,
        cursor: impl Fn(&P, &Response) -> Option<String> + 'static,
    ) -> Self {
        Next(Way::Cursor { parameter, cursor: Box::new(cursor) })
    }
}

impl Request {
    /// The items of every page until there are `bound` of them. `items` takes them out of a page
    /// that wraps them; `|page| page` where it is the list.
    ///
    /// The page's size, where the service lets one choose, is part of this request.
    pub fn pages<P: DeserializeOwned, T>(
        self,
        next: &Next<P>,
        bound: usize,
        items: impl FnMut(P) -> Items<T>,
    ) -> Result<Pages<T>> {
        let first = self.clone().ok()?;
        self.pages_from(first, next, bound, items)
    }

    /// As [`pages`](Request::pages), where `first` is the answer to this request.
    pub fn pages_from<P: DeserializeOwned, T>(
        self,
        first: Response,
        next: &Next<P>,
        bound: usize,
        mut items: impl FnMut(P) -> Items<T>,
    ) -> Result<Pages<T>> {
        let (mut asked, mut before, mut linked) = (0, 0, false);
        let base = self.path().split('?').next().unwrap_or_default().to_owned();
        // Only the query is taken from a link: its path is relative to the server, not to the endpoint.
        let led_to = |address: &str| {
            let (_, query) = address.split_once('?')?;
            Some(self.at(&format!("{base}?{query}")))
        };
        let linked_to = |response: &Response, relation: &str| led_to(response.link(relation)?);
        // The others are under way while the first is read.
        if let Way::Link { size } = next.0
            && let Some((next, last)) = linked_to(&first, "next").zip(linked_to(&first, "last"))
        {
            let more = bound.div_ceil(size.max(1)).saturating_sub(1);
            begin(&next, &last, more.min(AT_ONCE / first.body.len().max(1)));
        }
        let mut first = Some(first);
        follow(bound, self.path().to_owned(), |path| {
            let response = match first.take() {
                Some(first) => first.ok()?,
                None => self.at(path).ok()?,
            };
            let page: P = response.json()?;
            let cursor = match &next.0 {
                Way::Cursor { cursor, .. } => cursor(&page, &response),
                _ => None,
            };
            let page = items(page);
            asked += 1;
            linked |= response.header("link").is_some();
            before += page.count;
            let following = |parameter, value: usize, size| {
                (page.count >= size)
                    .then(|| self.clone().set_query(parameter, value).path().to_owned())
            };
            let next = match next.0 {
                Way::Link { size } if !linked => following("page", asked + 1, size.max(1)),
                Way::Link { .. } => {
                    // A server that links to a page beyond an empty one leads nowhere.
                    let next = linked_to(&response, "next").filter(|_| page.count > 0);
                    next.map(|next| next.path().to_owned())
                }
                Way::Number { parameter, first, size } => {
                    following(parameter, first + asked, size.max(1))
                }
                Way::Offset { parameter, size } => following(parameter, before, size.max(1)),
                Way::Cursor { parameter, .. } => {
                    let next = cursor.filter(|cursor| !cursor.is_empty()).map(|cursor| {
                        led_to(&cursor).unwrap_or_else(|| self.clone().set_query(parameter, cursor))
                    });
                    next.map(|next| next.path().to_owned())
                }
            };
            Ok((page, next))
        })
    }
}

/// Begins the pages from `next` on up to `last`, which differ by their number alone, and no `more` than are
/// wanted.
fn begin(next: &Request, last: &Request, more: usize) {
    let number = |request: &Request| request.query_value("page")?.parse::<usize>().ok();
    let (Some(from), Some(to)) = (number(next), number(last)) else { return };
    let to = to.min(from.saturating_add(more).saturating_sub(1));
    let pages: Vec<Request> =
        (from..=to).map(|number| next.clone().in_query("page", number)).collect();
    if pages.len() > 1 {
        http::begin(&pages);
    }
}

/// Asks for page after page from `first` on, until there are `bound` items or no next page.
pub(crate) fn follow<T, N: PartialEq>(
    bound: usize,
    first: N,
    mut ask: impl FnMut(&N) -> Result<(Items<T>, Option<N>)>,
) -> Result<Pages<T>> {
    let mut found = Pages { items: Items::default(), more: false };
    let mut page = first;
    for _ in 0..MOST {
        let (items, next) = ask(&page)?;
        found.items.append(items);
        match next {
            Some(next) if next == page => break,
            Some(next) if found.items.count < bound => page = next,
            next => {
                found.more = next.is_some() || found.items.count > bound;
                found.items.truncate(bound);
                return Ok(found);
            }
        }
    }
    Err(Error::Invalid("the service's pages lead in circles".to_owned()))
}
