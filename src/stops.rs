//! What asks a mount from outside to end: signals; on Windows the console's events, the service
//! control manager, and this process itself.

#[cfg(unix)]
pub use unix::Stops;
#[cfg(windows)]
pub use windows::{Stops, stop};

#[cfg(unix)]
mod unix {
    use std::io;
    use tokio::signal::unix::{Signal, SignalKind, signal};

    #[derive(Debug)]
    pub struct Stops([Signal; 3]);

    impl Stops {
        pub fn new() -> io::Result<Stops> {
            Ok(Stops([
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ]))
        }

        /// What has asked.
        pub async fn next(&mut self) -> &'static str {
            let [interrupt, terminate, hangup] = &mut self.0;
            tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                _ = hangup.recv() => "SIGHUP",
            }
        }
    }
}

#[cfg(windows)]
mod windows {
    use super::service::Service;
    use std::io;
    use tokio::signal::windows;
    use tokio::sync::Notify;

    /// Asked by this process itself, or by the service control manager.
    static ASKED: Notify = Notify::const_new();

    /// Ends the mount of this process as a signal would.
    pub fn stop() {
        ASKED.notify_one();
    }

    #[derive(Debug)]
    pub struct Stops {
        interrupt: windows::CtrlC,
        interrupt_too: windows::CtrlBreak,
        close: windows::CtrlClose,
        logoff: windows::CtrlLogoff,
        shutdown: windows::CtrlShutdown,
        /// Tells the service control manager of the end when it is dropped.
        _service: Option<Service>,
    }

    impl Stops {
        pub fn new() -> io::Result<Stops> {
            Ok(Stops {
                interrupt: windows::ctrl_c()?,
                interrupt_too: windows::ctrl_break()?,
                // The system ends the process some five seconds after one of these, whatever it
                // does: long enough to unmount.
                close: windows::ctrl_close()?,
                logoff: windows::ctrl_logoff()?,
                shutdown: windows::ctrl_shutdown()?,
                _service: Service::connect(stop)?,
            })
        }

        /// What has asked.
        pub async fn next(&mut self) -> &'static str {
            tokio::select! {
                _ = self.interrupt.recv() => "Ctrl-C",
                _ = self.interrupt_too.recv() => "Ctrl-Break",
                _ = self.close.recv() => "the console was closed",
                _ = self.logoff.recv() => "the user logs off",
                _ = self.shutdown.recv() => "the system shuts down",
                () = ASKED.notified() => "a stop",
            }
        }
    }
}

#[cfg(windows)]
mod service;
