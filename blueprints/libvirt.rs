//! The libvirt hypervisor and the template of its machines.

use crate::context::{Context, is_package, is_plain_name, is_url};
use crate::field::{Field, Spanned};
use crate::file;
use crate::lab::{Bootstrap, Libvirt, Template};
use crate::tree::Span;
use ipnet::Ipv4Net;

/// Stands in for a subnet that is missing or wrong, which is reported.
const NO_SUBNET: Ipv4Net = Ipv4Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED, 32);

/// The blueprint's hypervisor, where it has one.
pub(crate) fn resolve(
    blueprint: &file::Blueprint,
    lab: &str,
    context: &mut Context<'_>,
) -> Option<Libvirt> {
    let provider = blueprint.provider.given()?;
    let file::Provider::Libvirt(file) = &provider.value else { return None };
    context.shape(&file.uri, is_uri, "a libvirt URI such as `qemu:///system`");
    context.shape(&file.pool, is_plain_name, "the name of a storage pool");
    context.shape(&file.network, is_plain_name, "the name of a network");
    if file.subnet.is_absent() {
        context.missing(provider.at, "subnet", "`libvirt`", "subnet: 10.20.30.0/24");
    }
    let subnet = context.net(&file.subnet);
    if let (Some(subnet), Some(written)) = (subnet, file.subnet.given())
        && !(8..=29).contains(&subnet.prefix_len())
    {
        let message = format!("expected a subnet from /8 to /29, found `/{}`", subnet.prefix_len());
        context.error(written.at, message);
    }
    let template = match &file.template {
        Field::Given(template) => resolve_template(template, context),
        Field::Wrong => None,
        Field::Absent => {
            let example = "template: { bootstrap: { suite: trixie } }";
            context.missing(provider.at, "template", "`libvirt`", example);
            None
        }
    };
    let text =
        |field: &Field<String>, default: &str| field.get().cloned().unwrap_or(default.into());
    Some(Libvirt {
        uri: text(&file.uri, "qemu:///system"),
        accel: file.accel.get().copied().unwrap_or_default(),
        pool: text(&file.pool, "default"),
        network: text(&file.network, lab),
        subnet: subnet.unwrap_or(NO_SUBNET),
        template: template.unwrap_or_else(|| Template::Volume(String::new())),
        clone: file.clone.get().copied().unwrap_or_default(),
    })
}

/// A scheme, a colon and a path, as libvirt writes them.
fn is_uri(text: &str) -> bool {
    text.split_once(":///").or_else(|| text.split_once("://")).is_some_and(|(scheme, rest)| {
        let known = |c: char| c.is_ascii_lowercase() || c == '+';
        !scheme.is_empty()
            && scheme.chars().all(known)
            && !rest.is_empty()
            && text.chars().all(|c| c.is_ascii_graphic())
    })
}

const TEMPLATES: &str = "a template is the path of an image (`images/debian.qcow2`), `{ url, sha256 }`, \
                         `{ volume }`, `{ domain }` or `{ bootstrap: { suite } }`";

fn resolve_template(
    template: &Spanned<file::Template>,
    context: &mut Context<'_>,
) -> Option<Template> {
    match &template.value {
        file::Template::File(path) => {
            let image = [".qcow2", ".img", ".raw"].iter().any(|end| path.ends_with(end));
            if !image && !path.contains('/') {
                let message = format!("unknown template `{}`", crate::wording::short(path));
                context.error_help(template.at, message, TEMPLATES);
                return None;
            }
            let file = Field::Given(Spanned { value: path.clone(), at: template.at });
            context.existing(&file).map(Template::File)
        }
        file::Template::Source(source) => resolve_source(source, template.at, context),
    }
}

fn resolve_source(
    source: &file::TemplateSource,
    at: Span,
    context: &mut Context<'_>,
) -> Option<Template> {
    let given = [
        !source.url.is_absent(),
        !source.volume.is_absent(),
        !source.domain.is_absent(),
        !source.bootstrap.is_absent(),
    ];
    match given.iter().filter(|given| **given).count() {
        1 => {}
        0 => {
            context.error_help(at, "the template has no source", TEMPLATES);
            return None;
        }
        _ => {
            context.error_help(at, "the template has more than one source", TEMPLATES);
            return None;
        }
    }
    if let (false, true, Some(sum)) = (given[0], !source.sha256.is_absent(), source.sha256.given())
    {
        context.error(sum.at, "`sha256` belongs to a template with `url`");
    }
    if !source.url.is_absent() {
        return url(source, at, context);
    }
    context.shape(&source.volume, is_plain_name, "the name of a volume");
    context.shape(&source.domain, is_plain_name, "the name of a virtual machine");
    if let Some(volume) = source.volume.get() {
        return Some(Template::Volume(volume.clone()));
    }
    if let Some(domain) = source.domain.get() {
        return Some(Template::Domain(domain.clone()));
    }
    source.bootstrap.given().and_then(|bootstrap| resolve_bootstrap(bootstrap, context))
}

fn url(source: &file::TemplateSource, at: Span, context: &mut Context<'_>) -> Option<Template> {
    let sum = |text: &str| text.len() == 64 && text.bytes().all(|c| c.is_ascii_hexdigit());
    context.shape(&source.url, is_url, "an http or https URL");
    context.shape(&source.sha256, sum, "a SHA-256 of 64 hex digits");
    if source.sha256.is_absent() {
        context.missing(at, "sha256", "a template with `url`", "sha256: 64 hex digits");
    }
    Some(Template::Url {
        url: source.url.get()?.clone(),
        sha256: source.sha256.get()?.to_ascii_lowercase(),
    })
}

fn resolve_bootstrap(
    bootstrap: &Spanned<file::Bootstrap>,
    context: &mut Context<'_>,
) -> Option<Template> {
    let file = &bootstrap.value;
    if file.suite.is_absent() {
        context.missing(bootstrap.at, "suite", "`bootstrap`", "suite: trixie");
    }
    context.shape(&file.suite, is_package, "a suite such as `trixie`");
    context.shape(&file.mirror, is_url, "an http or https URL");
    for package in file.packages.items() {
        context.shape_of(package, is_package, "the name of a package");
    }
    Some(Template::Bootstrap(Bootstrap {
        suite: file.suite.get()?.clone(),
        mirror: file.mirror.get().cloned(),
        packages: file.packages.items().map(|p| p.value.clone()).collect(),
    }))
}
