# Homebrew: Formula/omnifs.rb of a tap. On macOS it builds from the source archive.
class Omnifs < Formula
  desc "Mounts remote services as ordinary files"
  homepage "@HOME@"
  version "@VERSION@"
  license any_of: ["MIT", "Apache-2.0"]

  on_macos do
    url "@URL@/omnifs-@VERSION@-source.tar.gz"
    sha256 "@SHA256:omnifs-@VERSION@-source.tar.gz@"
    depends_on "rustup" => :build
  end

  on_linux do
    on_intel do
      url "@URL@/omnifs-@VERSION@-x86_64-linux.tar.gz"
      sha256 "@SHA256:omnifs-@VERSION@-x86_64-linux.tar.gz@"
    end
@IF:omnifs-@VERSION@-aarch64-linux.tar.gz@    on_arm do
@IF:omnifs-@VERSION@-aarch64-linux.tar.gz@      url "@URL@/omnifs-@VERSION@-aarch64-linux.tar.gz"
@IF:omnifs-@VERSION@-aarch64-linux.tar.gz@      sha256 "@SHA256:omnifs-@VERSION@-aarch64-linux.tar.gz@"
@IF:omnifs-@VERSION@-aarch64-linux.tar.gz@    end
  end

  def install
    if OS.mac?
      system "cargo", "xtask", "build", "--release"
      bin.install "target/release/omnifs"
    else
      bin.install "bin/omnifs"
      man1.install Dir["share/man/man1/*"]
      bash_completion.install "share/bash-completion/completions/omnifs"
      zsh_completion.install "share/zsh/site-functions/_omnifs"
      fish_completion.install "share/fish/vendor_completions.d/omnifs.fish"
    end
  end

  service do
    run [opt_bin/"omnifs", "mount", "--foreground", "#{Dir.home}/omnifs"]
    keep_alive crashed: true
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/omnifs --version")
  end
end
