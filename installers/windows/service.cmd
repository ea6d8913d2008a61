@rem The mount at boot, for all users; from an administrator's prompt. `omnifs service install O:` does the same.
sc.exe create omnifs start= auto binPath= "\"%ProgramFiles%\omnifs\omnifs.exe\" mount --foreground O:"
sc.exe failure omnifs reset= 300 actions= restart/5000/restart/5000/restart/60000
sc.exe start omnifs
