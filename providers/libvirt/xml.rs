//! The little of XML that libvirt speaks: elements with attributes, children or text.
//!
//! Everything is built and read through [`Element`], so nothing is ever pasted into markup.

use quick_xml::Reader;
use quick_xml::escape::{escape, unescape};
use quick_xml::events::{BytesStart, Event};

/// An element. libvirt never mixes text and children, so text stands before all children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    pub name: String,
    pub attrs: Vec<(String, String)>,
    pub text: String,
    pub children: Vec<Element>,
}

/// A new element.
pub fn el(name: &str) -> Element {
    Element { name: name.to_owned(), ..Element::default() }
}

impl Element {
    /// With this attribute.
    pub fn attr(mut self, name: &str, value: impl ToString) -> Self {
        self.set(name, value);
        self
    }

    /// With this text.
    pub fn text(mut self, text: impl ToString) -> Self {
        self.text = text.to_string();
        self
    }

    /// With this child after the others.
    pub fn child(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    /// With these children after the others.
    pub fn children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.children.extend(children);
        self
    }

    /// Sets an attribute.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        let value = value.to_string();
        match self.attrs.iter_mut().find(|(n, _)| n == name) {
            Some(attr) => attr.1 = value,
            None => self.attrs.push((name.to_owned(), value)),
        }
    }

    /// An attribute's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attrs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The children of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// The first element at this path of names, such as `devices/interface/mac`.
    pub fn at(&self, path: &str) -> Option<&Element> {
        path.split('/').try_fold(self, |e, name| e.children.iter().find(|c| c.name == name))
    }

    /// The first element at this path of names, to be changed.
    pub fn at_mut(&mut self, path: &str) -> Option<&mut Element> {
        path.split('/').try_fold(self, |e, name| e.children.iter_mut().find(|c| c.name == name))
    }

    /// Puts a child in the place of the first one of its name, or at the end.
    pub fn put(&mut self, child: Element) {
        match self.children.iter_mut().find(|c| c.name == child.name) {
            Some(old) => *old = child,
            None => self.children.push(child),
        }
    }

    /// Reads a document.
    pub fn parse(xml: &str) -> Result<Element, String> {
        let mut reader = Reader::from_str(xml);
        let mut open = vec![Element::default()];
        loop {
            let closed = match reader.read_event().map_err(|e| e.to_string())? {
                Event::Start(start) => {
                    open.push(start_of(&start)?);
                    None
                }
                Event::Empty(start) => Some(start_of(&start)?),
                Event::End(_) => open.pop().map(|mut closed| {
                    // Indentation is no text.
                    closed.text = closed.text.trim().to_owned();
                    closed
                }),
                Event::Text(text) => {
                    append(&mut open, &text);
                    None
                }
                Event::CData(data) => {
                    append(&mut open, &data);
                    None
                }
                Event::GeneralRef(entity) => {
                    let entity = format!("&{};", &*entity);
                    append(&mut open, &unescape(&entity).map_err(|e| e.to_string())?);
                    None
                }
                Event::Eof => break,
                _ => None,
            };
            if let (Some(closed), Some(parent)) = (closed, open.last_mut()) {
                parent.children.push(closed);
            }
        }
        let root = open.pop().filter(|_| open.is_empty());
        root.and_then(|r| r.children.into_iter().next()).ok_or_else(|| "no element".to_owned())
    }

    fn write(&self, depth: usize, out: &mut String) {
        let indent = "  ".repeat(depth);
        out.push_str(&format!("{indent}<{}", self.name));
        for (name, value) in &self.attrs {
            out.push_str(&format!(" {name}='{}'", escape(value.as_str())));
        }
        if self.text.is_empty() && self.children.is_empty() {
            out.push_str("/>\n");
            return;
        }
        out.push_str(&format!(">{}", escape(self.text.as_str())));
        if !self.children.is_empty() {
            out.push('\n');
            self.children.iter().for_each(|c| c.write(depth + 1, out));
            out.push_str(&indent);
        }
        out.push_str(&format!("</{}>\n", self.name));
    }
}

impl std::fmt::Display for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        self.write(0, &mut out);
        f.write_str(&out)
    }
}

fn append(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn start_of(start: &BytesStart<'_>) -> Result<Element, String> {
    let mut element = el(start.name().as_ref());
    for attr in start.attributes() {
        let attr = attr.map_err(|e| e.to_string())?;
        let value = unescape(&attr.value).map_err(|e| e.to_string())?;
        element.set(attr.key.as_ref(), value);
    }
    Ok(element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let nasty = "a<b>&\"c'd ]]> é";
        let tree = el("domain")
            .attr("type", "kvm")
            .child(el("name").text(nasty))
            .child(el("q:commandline").attr("xmlns:q", nasty).child(el("q:arg").attr("value", "x")))
            .child(el("empty"));
        let written = tree.to_string();
        assert_eq!(Element::parse(&written), Ok(tree));
        assert!(!written.contains("a<b"), "{written}");
    }

    #[test]
    fn entities_comments_and_cdata() {
        let tree = Element::parse(
            "<?xml version='1.0'?><!-- x --><a>\n <b>1 &amp; 2&#33;</b> <c><![CDATA[<&]]></c></a>",
        );
        let tree = tree.expect("it parses");
        assert_eq!(tree.at("c").map(|c| c.text.as_str()), Some("<&"));
        assert_eq!(tree.at("b").map(|b| b.text.as_str()), Some("1 & 2!"));
    }

    #[test]
    fn broken_documents_are_errors() {
        for xml in ["", "<a>", "<a></b>", "text", "<a x=1/>", "<a>&nope;</a>"] {
            assert!(Element::parse(xml).is_err(), "{xml}");
        }
    }
}
