import Gemma4Kit

/// How the program ends, in the numbers of `sysexits.h`.
enum ExitStatus: Int32 {
    /// Arguments that are wrong or missing: most are found by the argument parser.
    case usage = 64
    /// The input is not what it should be.
    case badData = 65
    /// A file that is not there, or cannot be read.
    case noInput = 66
    /// Nothing is wrong with the input, but this model or program cannot take it.
    case unavailable = 69
    /// The system refuses something, memory say.
    case systemError = 71
    /// The output file cannot be made.
    case cannotCreate = 73
    /// Writing failed on the way.
    case inputOutput = 74
    /// Stopped before the end; results up to there are written.
    case stopped = 75
    /// Ctrl-C: 128 + SIGINT.
    case interrupted = 130

    /// Nil for errors that are the argument parser's.
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
