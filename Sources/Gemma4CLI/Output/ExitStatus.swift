import Gemma4Kit

/// Exit status, with the codes of `sysexits.h`.
enum ExitStatus: Int32 {
    /// Invalid or missing arguments; most are found by the argument parser.
    case usage = 64
    /// Invalid input data.
    case badData = 65
    /// A file that does not exist or cannot be read.
    case noInput = 66
    /// The input is valid, but this model or program does not support it.
    case unavailable = 69
    /// The system refuses a resource, for example memory.
    case systemError = 71
    /// The output file cannot be created.
    case cannotCreate = 73
    /// An error while writing.
    case inputOutput = 74
    /// Stopped before the end; the results so far are written.
    case stopped = 75
    /// Ctrl-C: 128 + SIGINT.
    case interrupted = 130

    /// Nil for errors of the argument parser.
    init?(_ error: any Error) {
        switch error {
        case let error as any DiagnosedError: self.init(rawValue: error.diagnosis.kind.exitCode)
        case let error as CommandError: self.init(error.code)
        case is CancellationError: self = .interrupted
        default: return nil
        }
    }

    private init(_ code: CommandError.Code) {
        switch code {
        case .modelNotGiven, .overwritesInput, .overwritesMedium: self = .usage
        case .noModel, .unreadable, .emptyFolder: self = .noInput
        case .notPEM, .notUTF8, .invalidMessages, .notJSON, .noModelFile, .notResults, .invalidManifest,
            .invalidTools, .invalidToolSchema, .notAConversation, .contextFull:
            self = .badData
        case .cannotCreate: self = .cannotCreate
        case .cannotWrite: self = .inputOutput
        case .cannotListen: self = .unavailable
        }
    }
}
