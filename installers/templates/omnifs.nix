# Nix: callPackage ./omnifs.nix { }
{ lib, stdenv, fetchurl, autoPatchelfHook, installShellFiles }:
stdenv.mkDerivation rec {
  pname = "omnifs";
  version = "@VERSION@";
  src = fetchurl {
    url = "@URL@/omnifs-${version}-x86_64-linux.tar.gz";
    sha256 = "@SHA256:omnifs-@VERSION@-x86_64-linux.tar.gz@";
  };
  nativeBuildInputs = [ autoPatchelfHook ];
  buildInputs = [ stdenv.cc.cc.lib ];
  installPhase = ''
    mkdir -p $out
    cp -r bin sbin share lib $out/
    substituteInPlace $out/lib/systemd/*/* --replace-quiet /usr/bin/omnifs $out/bin/omnifs
  '';
  meta = {
    description = "Mounts remote services as ordinary files";
    homepage = "@HOME@";
    license = [ lib.licenses.mit lib.licenses.asl20 ];
    platforms = [ "x86_64-linux" ];
    mainProgram = "omnifs";
  };
}
