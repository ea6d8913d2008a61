//! The macro that makes a crate a component.

/// Exports a [`Provider`](crate::Provider): `export!(service, Docker)` for the world with `http`,
/// `export!(database, Db)`
/// for the one with `sql`, `export!(offline, Hello)` for the one with neither. The crate is a `cdylib`; natively, where its
/// tests run, the macro does nothing.
#[macro_export]
macro_rules! export {
    (service, $Provider:ty) => {
        #[cfg(target_arch = "wasm32")]
        type OmnifsComponent = $crate::Component<$Provider>;
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::service::export_service!(
            OmnifsComponent with_types_in $crate::bindings::service
        );
    };
    (database, $Provider:ty) => {
        $crate::export!(service, $Provider);
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::statements::export_statements!(
            OmnifsComponent with_types_in $crate::bindings::statements
        );
    };
    (offline, $Provider:ty) => {
        #[cfg(target_arch = "wasm32")]
        type OmnifsComponent = $crate::Offline<$Provider>;
        #[cfg(target_arch = "wasm32")]
        use $crate::bindings::service::exports::omnifs::provider as omnifs_exports;
        #[cfg(target_arch = "wasm32")]
        omnifs_exports::manifest::__export_omnifs_provider_manifest_1_0_0_cabi!(
            OmnifsComponent with_types_in omnifs_exports::manifest
        );
        #[cfg(target_arch = "wasm32")]
        omnifs_exports::provider::__export_omnifs_provider_provider_1_0_0_cabi!(
            OmnifsComponent with_types_in omnifs_exports::provider
        );
    };
}
