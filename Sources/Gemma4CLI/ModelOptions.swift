import ArgumentParser
import Foundation
import Gemma4Kit

/// Where the checkpoint is.
struct ModelDirectory: ParsableArguments {
    static let variable = "GEMMA4_MODEL"
    static let howToGetOne =
        "Get a model with: hf download google/gemma-4-E2B-it --local-dir gemma-4-E2B-it"

    @Option(
        name: .customLong("model"),
        help: ArgumentHelp("Checkpoint as downloaded; default: $\(variable).", valueName: "dir"))
    var given: String?

    /// - Throws: `CommandError` if there is no such directory.
    func callAsFunction() throws(CommandError) -> URL { try Self.find(given, "--model <dir>") }

    /// - Parameters:
    ///   - given: the user's choice; nil takes the environment's.
    ///   - argument: how the user would give one.
    static func find(_ given: String?, _ argument: String) throws(CommandError) -> URL {
        let preset = ProcessInfo.processInfo.environment[variable].flatMap { $0.isEmpty ? nil : $0 }
        guard let path = given ?? preset else { return try demo(argument) }
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), isDirectory.boolValue else {
            throw CommandError(.noModel, path)
        }
        return URL(filePath: path, directoryHint: .isDirectory)
    }

    /// The toy model that comes with the program.
    private static func demo(_ argument: String) throws(CommandError) -> URL {
        guard let demo = ModelsDirectory.find()?.appending(path: "Demo", directoryHint: .isDirectory),
            FileManager.default.fileExists(atPath: demo.appending(path: "model.safetensors").path)
        else { throw CommandError(.modelNotGiven, argument) }
        ByteSink.standardError.report("no --model, so the demo model answers: it knows a hundred words and a few shapes. \(howToGetOne)")
        return demo
    }
}

/// Which model runs, and on how many threads.
struct ModelOptions: ParsableArguments {
    @OptionGroup var directory: ModelDirectory

    @Option(help: ArgumentHelp("Threads; default: one for each core.", valueName: "n"))
    var threads: Int?

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads: expected 1 to 1024, found \(threads)")
        }
    }

    func open() throws -> Gemma4Pipeline { try Gemma4Pipeline(contentsOf: directory(), threadCount: threads) }
}

/// How large a picture the model sees.
struct ImageTokensOption: ParsableArguments {
    @Option(
        name: .customLong("image-tokens"),
        help: ArgumentHelp("Soft tokens of a picture at most: 70, 140, 280, 560 or 1120.", valueName: "n"))
    var count: Int?

    func validate() throws {
        let budgets = ProcessorConfiguration.softTokenBudgets
        if let count, !budgets.contains(count) {
            throw ValidationError(
                "--image-tokens: expected one of \(budgets.map(String.init).joined(separator: ", ")), found \(count)")
        }
    }
}

enum OnOff: String, ExpressibleByArgument, CaseIterable {
    case on, off
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text, json
}
