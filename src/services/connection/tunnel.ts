import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { Duplex, type Readable, type Writable } from 'node:stream'
import { EnvError } from '../../domain/errors.ts'

export type TunnelTarget = { readonly host: string; readonly port: number } | { readonly socketPath: string }

/** What the far end says first, on a line: all after it are the service's own bytes. */
const readyLine = 'git-env tunnel ready'
const failedLine = 'git-env tunnel failed: '
const longestStartMs = 30_000
const lastWordsMs = 500

/**
 * A byte stream to a service from where a command prefix leads: a container, another host, a network namespace. The prefix is given one word, `sh`,
 * and the program by standard input, so that no shell on the way can misread a quote (ssh joins its words, docker does not). Bytes of ours
 * follow only when the far end has answered: a shell may read ahead. Passwords travel inside the stream, never in words.
 * When this process dies the stream ends, and with it the connection to the service.
 */
export function openTunnel(run: readonly string[], target: TunnelTarget, signal: AbortSignal): Promise<Duplex> {
  const [file, ...words] = run as [string, ...string[]]
  const child = spawn(file, [...words, 'sh'], { stdio: ['pipe', 'pipe', 'pipe'], signal })
  const prefix = run.join(' ')
  return new Promise((resolve, reject) => {
    let head = Buffer.alloc(0)
    let complaint = ''
    const fail = (reason: string, cause?: unknown) => {
      clearTimeout(timer)
      child.kill()
      reject(
        new EnvError('unavailable', `no way through ${prefix}: ${reason}`, {
          cause,
          hint: `try: ${prefix} sh -c 'echo works'`,
        }),
      )
    }
    const timer = setTimeout(() => fail(`no answer within ${longestStartMs / 1000} s`), longestStartMs)
    const onData = (part: Buffer) => {
      head = Buffer.concat([head, part])
      const end = head.indexOf('\n')
      if (end < 0) return
      const line = head.toString('utf8', 0, end).trim()
      if (line.startsWith(failedLine)) return fail(line.slice(failedLine.length))
      if (line !== readyLine) return fail(`it answered ${JSON.stringify(line.slice(0, 200))}`)
      clearTimeout(timer)
      child.stdout.off('data', onData)
      child.stdout.pause()
      const rest = head.subarray(end + 1)
      if (rest.length > 0) child.stdout.unshift(rest)
      resolve(new Tunnel(child))
    }
    child.stdout.on('data', onData)
    child.stderr.on('data', (part: Buffer) => {
      complaint = (complaint + part.toString('utf8')).slice(-2000)
    })
    child.stdin.on('error', () => {})
    child.on('error', (error) => fail(error.message, error))
    const ended = (status: number | null) =>
      fail(complaint.trim().split('\n').at(-1) || `it ended with status ${status}`)
    // What it said may arrive after `exit`; `close` may never come, where something that it started keeps its output open.
    child.on('close', ended)
    child.on('exit', (status) => setTimeout(() => ended(status), lastWordsMs).unref())
    child.stdin.write(program(target))
  })
}

type Prefix = ChildProcessByStdio<Writable, Readable, Readable>

/** How long a prefix may take to end by itself once its standard input has ended: what it leads to should see that first. */
const endMs = 2000

class Tunnel extends Duplex {
  readonly #child: Prefix

  constructor(child: Prefix) {
    super()
    this.#child = child
    child.stdout.on('data', (part: Buffer) => {
      if (!this.destroyed && !this.push(part)) child.stdout.pause()
    })
    child.stdout.on('end', () => this.push(null))
  }

  override _read(): void {
    this.#child.stdout.resume()
  }

  override _write(part: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#child.stdin.write(part, done)
  }

  override _final(done: () => void): void {
    this.#child.stdin.end(done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#child.stdin.end()
    setTimeout(() => this.#child.kill(), endMs).unref()
    this.#child.stdout.resume()
    done(error)
  }
}

/** The first of perl, python3, bash, socat and nc that is there. Each ends its connection as soon as standard input ends. */
function program(target: TunnelTarget): string {
  const [kind, host, port] =
    'socketPath' in target ? ['unix', target.socketPath, ''] : ['tcp', target.host, target.port]
  const has = (name: string) => `command -v ${name} >/dev/null 2>&1`
  return [
    `K=${kind} H=${quoted(host)} P=${port}; export K H P`,
    `if ${has('perl')}; then exec perl -e ${quoted(perl)}`,
    `elif ${has('python3')}; then exec python3 -c ${quoted(python)}`,
    `elif [ $K = tcp ] && ${has('bash')}; then exec bash -c ${quoted(bash)}`,
    `elif ${has('socat')}; then echo ${quoted(readyLine)}; if [ $K = tcp ]; then exec socat -t0 - "TCP:$H:$P"; else exec socat -t0 - "UNIX-CONNECT:$H"; fi`,
    `elif [ $K = tcp ] && ${has('nc')}; then echo ${quoted(readyLine)}; exec nc "$H" "$P"`,
    `else echo ${quoted(`${failedLine}none of perl, python3, bash, socat and nc is there`)}; exit 1; fi`,
    '',
  ].join('\n')
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

const perl = `
use Socket;
$| = 1;
sub give_up { print "${failedLine}$_[0]\\n"; exit 1 }
my ($s, $to, $domain);
if ($ENV{K} eq "unix") { $domain = PF_UNIX; $to = sockaddr_un($ENV{H}); }
else {
  my ($error, @found) = Socket::getaddrinfo($ENV{H}, $ENV{P}, { socktype => SOCK_STREAM });
  give_up("$ENV{H}: $error") if $error;
  ($domain, $to) = ($found[0]{family}, $found[0]{addr});
}
socket($s, $domain, SOCK_STREAM, 0) or give_up("$!");
connect($s, $to) or give_up("$ENV{H}: $!");
print "${readyLine}\\n";
sub copy { my ($from, $into) = @_; my $b;
  while (my $n = sysread($from, $b, 65536)) { my $o = 0; while ($o < $n) { my $w = syswrite($into, $b, $n - $o, $o); return unless defined $w; $o += $w; } } }
my $child = fork();
if ($child == 0) { copy($s, \\*STDOUT); kill "TERM", getppid(); exit 0 }
copy(\\*STDIN, $s);
shutdown($s, 2);
kill "TERM", $child;
`

const python = `
import os, socket, sys, threading
unix = os.environ["K"] == "unix"
try:
    if unix:
        s = socket.socket(socket.AF_UNIX); s.connect(os.environ["H"])
    else:
        s = socket.create_connection((os.environ["H"], int(os.environ["P"])))
except OSError as e:
    print("${failedLine}%s: %s" % (os.environ["H"], e)); sys.exit(1)
s.settimeout(None)
os.write(1, b"${readyLine}\\n")
def back():
    try:
        while True:
            b = s.recv(65536)
            if not b: break
            while b: b = b[os.write(1, b):]
    except OSError: pass
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
while True:
    b = os.read(0, 65536)
    if not b: break
    s.sendall(b)
os._exit(0)
`

const bash = `
exec 3<>"/dev/tcp/$H/$P" 4<&0 || { echo "${failedLine}$H"; exit 1; }
echo "${readyLine}"
cat <&3 &
back=$!
cat <&4 >&3 &
exec 3>&- 4<&-
wait -n
kill $back $!
`
