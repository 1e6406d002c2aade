import ArgumentParser
import Foundation
import Gemma4Kit
import Gemma4Server
import Generation
import Logging

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answer programs that speak OpenAI's HTTP interface.",
        usage: "gemma4 serve [<options>]",
        discussion: """
            What clients ask at the same time is answered at the same time. Ctrl-C answers what was begun, and ends.
            Example: gemma4 serve --model gemma-4-E2B-it
              curl 127.0.0.1:8080/v1/audio/transcriptions -F file=@talk.mp3
            """)

    @OptionGroup var model: ModelOptions

    @Option(help: ArgumentHelp("Where to listen; 0.0.0.0: to everybody.", valueName: "address"))
    var host = "127.0.0.1"

    @Option(help: ArgumentHelp("Of the address; 0: any that is free.", valueName: "n"))
    var port = 8080

    @Option(help: ArgumentHelp("Listen at a socket in the file system instead.", valueName: "path"))
    var unixSocket: String?

    @Option(help: ArgumentHelp("Answers that are written at once.", valueName: "n"))
    var parallel = 16

    @Option(help: ArgumentHelp("Answers that may wait; more get status 429.", valueName: "n"))
    var queue = 64

    @Option(help: ArgumentHelp("Of all these, most of one key; default: all.", valueName: "n"))
    var perKey: Int?

    @Option(help: ArgumentHelp("Most tokens of an answer; default: the context.", valueName: "n"))
    var maxTokens: Int?

    @Option(help: ArgumentHelp("Most tokens of a prompt; default: the context.", valueName: "n"))
    var maxPrompt: Int?

    @Option(help: ArgumentHelp("Think before answering, unless a request says.", valueName: "on|off"))
    var thinking = OnOff.off

    @Option(help: ArgumentHelp("Most megabytes of a request in JSON.", valueName: "n"))
    var maxBody = 64

    @Option(help: ArgumentHelp("Most megabytes of a recording.", valueName: "n"))
    var maxUpload = 2048

    @Option(help: ArgumentHelp("Most megapixels of a picture.", valueName: "n"))
    var maxPixels = 50

    @Option(help: ArgumentHelp("Longest recording in seconds; default: any.", valueName: "n"))
    var maxSeconds: Int?

    @Option(help: ArgumentHelp("Keys of clients, one a line, batch behind those that can wait.", valueName: "file"))
    var apiKeyFile: String?

    @Option(help: ArgumentHelp("Speak TLS: chain of certificates, in PEM.", valueName: "file"))
    var tlsCertificate: String?

    @Option(help: ArgumentHelp("And the key of the first.", valueName: "file"))
    var tlsKey: String?

    @Option(help: ArgumentHelp("Web page whose scripts may ask; may be repeated.", valueName: "url"))
    var allowOrigin: [String] = []

    @Option(
        name: .customLong("allow-url"),
        help: ArgumentHelp("Host of media that messages may name; may be repeated.", valueName: "host"))
    var allowURL: [String] = []

    @Option(help: ArgumentHelp("Folder of media that messages may name by file: URLs.", valueName: "folder"))
    var mediaRoot: String?

    @Option(help: ArgumentHelp("Name of the model; default: its file's.", valueName: "name"))
    var modelName: String?

    @Option(help: ArgumentHelp("Seconds for answers to end after a signal.", valueName: "n"))
    var grace = 30

    @Option(help: ArgumentHelp("Form of messages; default: text on a terminal.", valueName: "text|json"))
    var log: OutputFormat?

    func validate() throws {
        guard (0...65535).contains(port) else { throw ValidationError("--port: expected 0 to 65535, found \(port)") }
        for (name, value, range) in [
            ("parallel", parallel, 1...1024), ("queue", queue, 0...100_000), ("per-key", perKey ?? 1, 1...(.max)),
            ("max-tokens", maxTokens ?? 1, 1...(.max)), ("max-prompt", maxPrompt ?? 1, 1...(.max)),
            ("max-body", maxBody, 1...100_000), ("max-upload", maxUpload, 1...1_000_000),
            ("max-pixels", maxPixels, 1...178),
            ("max-seconds", maxSeconds ?? 1, 1...(.max)), ("grace", grace, 0...86_400),
        ] where !range.contains(value) {
            throw ValidationError("--\(name): expected \(range.lowerBound) to \(range.upperBound), found \(value)")
        }
        guard (tlsCertificate == nil) == (tlsKey == nil) else {
            throw ValidationError("--tls-certificate and --tls-key belong together")
        }
        if let host = allowURL.first(where: { MediaHost($0) == nil }) {
            throw ValidationError("--allow-url: expected a host such as example.com or example.com:8443, found \(host)")
        }
    }

    func run() async throws {
        // A client that disconnects must not end the program.
        signal(SIGPIPE, SIG_IGN)
        Gemma4Command.shareHeaps()
        let source = try model.path.source()
        let options = try serverOptions(modelName ?? source.name)
        let logger = logger
        let limits = EngineLimits(
            runningSequences: parallel,
            // A recording has several pieces in the queue; the server counts it as one answer.
            waitingSequences: max(4096, options.answers * 8))
        let server =
            try source.configuration().isEncoder
            ? ModelServer(
                try Embedder(
                    source, threadCount: model.threads, precision: model.precision.checked(), logger: logger),
                options: options, logger: logger)
            : ModelServer(
                try model.precision.open(source, threads: model.threads, limits: limits, logger: logger),
                options: options, logger: logger)
        let place = unixSocket.map { ListeningPlace(unixSocket: $0) } ?? ListeningPlace(host: host, port: port)
        do {
            try await server.run(at: place, grace: .seconds(grace)) { place in
                let scheme = unixSocket != nil ? "" : tlsKey != nil ? "https://" : "http://"
                logger.notice("\(options.modelName) listens at \(scheme)\(place)")
            }
        } catch let error as ListenError {
            throw CommandError(.cannotListen(reason: error.reason), error.place)
        } catch let error as CertificateError {
            throw CommandError(.notPEM(expected: error.expected), error.file)
        }
    }

    private func serverOptions(_ modelName: String) throws -> ServerOptions {
        var options = ServerOptions(modelName: modelName)
        options.answers = parallel + queue
        options.answersPerKey = perKey
        options.maxTokens = maxTokens
        options.promptTokens = maxPrompt
        options.imagePixels = maxPixels * 1_000_000
        options.thinking = thinking == .on
        options.bodyBytes = maxBody << 20
        options.uploadBytes = maxUpload << 20
        options.recordingSeconds = maxSeconds.map(Double.init)
        options.origins = allowOrigin
        options.mediaHosts = allowURL.compactMap { MediaHost($0) }
        options.mediaRoot = try mediaRoot.map { path in
            var isDirectory: ObjCBool = false
            guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue else {
                throw CommandError(.unreadable(reason: "expected a folder"), path)
            }
            return URL(filePath: path)
        }
        if let tlsCertificate, let tlsKey {
            options.certificate = ServerCertificate(chain: URL(filePath: tlsCertificate), key: URL(filePath: tlsKey))
        }
        if let apiKeyFile {
            do { options.keys = try APIKeys(contentsOf: URL(filePath: apiKeyFile)) } catch {
                throw CommandError(.unreadable(reason: error.reason), apiKeyFile)
            }
        }
        return options
    }

    /// Log collectors need JSON, a terminal shows text.
    private var logger: Logger {
        (log ?? (isatty(STDERR_FILENO) == 1 ? .text : .json)) == .json
            ? Logger(label: "gemma4") { JSONLog(label: $0) } : Logger(label: "gemma4")
    }
}

extension ModelSource {
    /// The repository's name in Hugging Face's cache; otherwise the last path component, without a file extension.
    fileprivate var name: String {
        switch self {
        case .directory(let url):
            let parts = url.standardizedFileURL.pathComponents
            let repository = parts.suffix(3)
            guard repository.count == 3, repository.dropFirst().first == "snapshots",
                repository.first!.hasPrefix("models--")
            else { return parts.last ?? "gemma-4" }
            return String(repository.first!.dropFirst("models--".count)).replacing("--", with: "/")
        case .gguf(let text, _): return URL(filePath: text.path).deletingPathExtension().lastPathComponent
        }
    }
}
