//! The service control manager, where it has started this process.
//!
//! `sc create omnifs binPath= "C:\\...\\omnifs.exe mount --foreground O:"` makes a service of a mount.
//! A process that somebody else has started is told so at once, and goes on as a program.

use parking_lot::Mutex;
use std::ffi::c_void;
use std::io;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;
use windows_sys::Win32::Foundation::{
    ERROR_CALL_NOT_IMPLEMENTED, ERROR_FAILED_SERVICE_CONTROLLER_CONNECT, NO_ERROR,
};
use windows_sys::Win32::System::Services::{
    RegisterServiceCtrlHandlerExW, SERVICE_ACCEPT_SHUTDOWN, SERVICE_ACCEPT_STOP,
    SERVICE_CONTROL_INTERROGATE, SERVICE_CONTROL_SHUTDOWN, SERVICE_CONTROL_STOP, SERVICE_RUNNING,
    SERVICE_STATUS, SERVICE_STATUS_HANDLE, SERVICE_STOP_PENDING, SERVICE_STOPPED,
    SERVICE_TABLE_ENTRYW, SERVICE_WIN32_OWN_PROCESS, SetServiceStatus, StartServiceCtrlDispatcherW,
};

/// For the manager to say whether it has started this process. It knows at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// In milliseconds; a stop unmounts, which waits for the requests under way.
const STOPPING: u32 = 30_000;

static STOP: OnceLock<fn()> = OnceLock::new();
static STARTED: Mutex<Option<mpsc::Sender<io::Result<bool>>>> = Mutex::new(None);
static HANDLE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// This process runs as a service. Dropping it tells the manager that it has stopped.
#[derive(Debug)]
pub struct Service(());

impl Service {
    /// Connects to the manager; `stop` is called when it asks for the end. `None`: this process is
    /// no service.
    pub fn connect(stop: fn()) -> io::Result<Option<Service>> {
        let (sender, receiver) = mpsc::channel();
        // A second mount in one process has nothing to connect.
        if STOP.set(stop).is_err() {
            return Ok(None);
        }
        *lock() = Some(sender.clone());
        // The call below returns when the service has stopped.
        std::thread::Builder::new().name("service".into()).spawn(move || {
            let mut name = [0_u16];
            let table = [
                SERVICE_TABLE_ENTRYW {
                    lpServiceName: name.as_mut_ptr(),
                    lpServiceProc: Some(main),
                },
                SERVICE_TABLE_ENTRYW { lpServiceName: null_mut(), lpServiceProc: None },
            ];
            // SAFETY: the table ends with an empty entry and outlives the call.
            if unsafe { StartServiceCtrlDispatcherW(table.as_ptr()) } == 0 {
                let error = io::Error::last_os_error();
                let code = error.raw_os_error().unwrap_or_default().cast_unsigned();
                let answer = match code {
                    ERROR_FAILED_SERVICE_CONTROLLER_CONNECT | ERROR_CALL_NOT_IMPLEMENTED => {
                        Ok(false)
                    }
                    _ => Err(error),
                };
                // Nobody waits any more after the patience.
                let _ = sender.send(answer);
            }
        })?;
        match receiver.recv_timeout(PATIENCE) {
            Ok(Ok(true)) => Ok(Some(Service(()))),
            Ok(Err(error)) => Err(error),
            Ok(Ok(false)) | Err(_) => Ok(None),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        tell(SERVICE_STOPPED);
    }
}

fn lock() -> parking_lot::MutexGuard<'static, Option<mpsc::Sender<io::Result<bool>>>> {
    STARTED.lock()
}

/// Called by the manager on a thread of its own. The service runs on after it returns.
unsafe extern "system" fn main(_: u32, _: *mut *mut u16) {
    let name = [0_u16];
    // SAFETY: an empty name, as a process with one service may give.
    let handle = unsafe { RegisterServiceCtrlHandlerExW(name.as_ptr(), Some(control), null_mut()) };
    let answer = if handle.is_null() { Err(io::Error::last_os_error()) } else { Ok(true) };
    HANDLE.store(handle, Ordering::SeqCst);
    tell(SERVICE_RUNNING);
    if let Some(sender) = lock().take() {
        let _ = sender.send(answer);
    }
}

unsafe extern "system" fn control(code: u32, _: u32, _: *mut c_void, _: *mut c_void) -> u32 {
    match code {
        SERVICE_CONTROL_STOP | SERVICE_CONTROL_SHUTDOWN => {
            tell(SERVICE_STOP_PENDING);
            if let Some(stop) = STOP.get() {
                stop();
            }
            NO_ERROR
        }
        SERVICE_CONTROL_INTERROGATE => NO_ERROR,
        _ => ERROR_CALL_NOT_IMPLEMENTED,
    }
}

fn tell(state: u32) {
    let handle: SERVICE_STATUS_HANDLE = HANDLE.load(Ordering::SeqCst);
    if handle.is_null() {
        return;
    }
    let running = state == SERVICE_RUNNING;
    let status = SERVICE_STATUS {
        dwServiceType: SERVICE_WIN32_OWN_PROCESS,
        dwCurrentState: state,
        dwControlsAccepted: if running { SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN } else { 0 },
        dwWin32ExitCode: NO_ERROR,
        dwServiceSpecificExitCode: 0,
        dwCheckPoint: 0,
        dwWaitHint: if state == SERVICE_STOP_PENDING { STOPPING } else { 0 },
    };
    // SAFETY: the handle is the manager's and is never closed; the status lives through the call.
    // A failure leaves the manager with the state before, and there is nobody to tell.
    unsafe { SetServiceStatus(handle, &status) };
}
