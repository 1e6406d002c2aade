import ArgumentParser
import Foundation
import Gemma4Kit
import Logging

@main
struct Gemma4Command: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gemma4",
        abstract: "Run Google's Gemma 4 on this computer's CPU.",
        discussion: """
            Example:
              hf download google/gemma-4-E2B-it --local-dir gemma-4-E2B-it
              gemma4 transcribe --model gemma-4-E2B-it speech.wav

            Results go to standard output, everything else to standard error.
            """,
        version: "0.1.0",
        subcommands: [
            Transcribe.self, Translate.self, Caption.self, Generate.self, Chat.self, Score.self, Embed.self,
            Tokenize.self, Inspect.self, Doctor.self, Quantize.self, Serve.self, Bench.self,
        ])

    static func main() async {
        spareAddressSpace()
        StandardStreams.keepPlaces()
        takeSignals()
        LoggingSystem.bootstrap { _ in StandardErrorLog() }
        do {
            try refuseFilesThatLookLikeOptions()
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            end(error)
        }
    }

    /// If the address space is limited (`ulimit -v`), all threads share one malloc arena. glibc reserves 64 MiB for
    /// each arena, by default one per thread; if that leaves no room for a thread's stack, libdispatch waits forever.
    private static func spareAddressSpace() {
        if isAddressSpaceLimited { setHeapLimit(1) }
    }

    /// Threads share as many heaps as there are cores. By default glibc has eight times as many: threads that come and go leave
    /// each of them in pieces, and a server grows for a day.
    static func shareHeaps() {
        if !isAddressSpaceLimited { setHeapLimit(CInt(clamping: max(2, ProcessInfo.processInfo.activeProcessorCount))) }
    }

    private static var isAddressSpaceLimited: Bool {
        #if canImport(Glibc)
            var limit = rlimit()
            return getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0 && limit.rlim_cur < rlim_t.max
        #else
            false
        #endif
    }

    /// For threads that begin later.
    private static func setHeapLimit(_ count: CInt) {
        #if canImport(Glibc)
            typealias Function = @convention(c) (CInt, CInt) -> CInt
            guard let mallopt = dlsym(nil, "mallopt") else { return }
            let arenaLimit: CInt = -8  // M_ARENA_MAX of malloc.h, which Swift's Glibc does not import
            _ = unsafeBitCast(mallopt, to: Function.self)(arenaLimit, count)
        #endif
    }

    /// A recording named `-dash.wav`, for example from `*.wav`, would be parsed as the options d, a, s and h, and show
    /// the help.
    private static func refuseFilesThatLookLikeOptions() throws {
        for argument in CommandLine.arguments.dropFirst().prefix(while: { $0 != "--" })
        where argument.hasPrefix("-") && !argument.hasPrefix("--") && argument.count > 2 {
            guard FileManager.default.fileExists(atPath: argument) else { continue }
            throw ValidationError("\(argument): a file whose name begins with a dash is given as ./\(argument)")
        }
    }

    /// SIGPIPE ends the program silently, as usual; Ctrl-C ends it after a line break. No signal leaves a partial file.
    private static func takeSignals() {
        signal(SIGPIPE, SIG_DFL)
        Drafts.prepare()
        #if os(Linux)
            BusError.takeSignal()
        #endif
        signal(SIGINT) { _ in
            Drafts.unlinkAll()
            if isatty(STDOUT_FILENO) == 1 { _ = Foundation.write(STDOUT_FILENO, "\n", 1) }
            _exit(ExitStatus.interrupted.rawValue)
        }
        for number in [SIGTERM, SIGHUP] {
            let before = signal(number, SIG_IGN)
            // Ignored under `nohup`.
            if unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) { continue }
            signal(number) { number in
                Drafts.unlinkAll()
                signal(number, SIG_DFL)
                raise(number)
            }
        }
    }

    /// Help and version go to standard output; errors to standard error, with the code of `sysexits.h`.
    private static func end(_ error: any Error) -> Never {
        if let status = ExitStatus(error) {
            ByteSink.standardError.report("\(error)")
            Foundation.exit(status.rawValue)
        }
        let status = exitCode(for: error)
        let message = message(for: error)
        guard !status.isSuccess, !message.isEmpty else { exit(withError: error) }
        let advice = fullMessage(for: error).split(separator: "\n").last { $0.hasPrefix("  See '") }
        ByteSink.standardError.report(message + (advice.map { "\n\($0)" } ?? ""))
        Foundation.exit(status.rawValue)
    }
}
