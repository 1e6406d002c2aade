import ArgumentParser
import Foundation
import Gemma4
import Gemma4Kit
import Generation
import Logging
import Tensors

/// The model's location: a directory, a GGUF file, or a repository in Hugging Face's cache.
struct ModelPath: ParsableArguments {
    static let variable = "GEMMA4_MODEL"
    static let howToGetOne =
        "Get a model with: hf download google/gemma-4-E2B-it --local-dir gemma-4-E2B-it"

    @Option(
        name: .customLong("model"),
        help: ArgumentHelp(
            "Directory, .gguf, repository; default: $\(variable).",
            valueName: "path"))
    var given: String?

    @OptionGroup var towers: TowersOptions

    /// Whether the user named a model.
    var isGiven: Bool { given != nil || ProcessInfo.processInfo.environment[Self.variable]?.isEmpty == false }

    /// - Throws: `CommandError` if the path does not exist, `CheckpointError` if the file is damaged.
    func source() throws -> ModelSource {
        try towers.source(Self.find(given, "--model <path>"))
    }

    /// - Parameters:
    ///   - given: the user's choice; nil uses the environment variable.
    ///   - argument: the option that names a model, for errors.
    static func find(_ given: String?, _ argument: String) throws(CommandError) -> URL {
        let preset = ProcessInfo.processInfo.environment[variable].flatMap { $0.isEmpty ? nil : $0 }
        guard let path = given ?? preset else { return try demo(argument) }
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            let cache = HuggingFaceCache()
            if let snapshot = cache.snapshot(of: path) { return snapshot }
            throw CommandError(.noModel(cache: HuggingFaceCache.isRepository(path) ? cache.folder.path : nil), path)
        }
        if isDirectory.boolValue, let snapshot = HuggingFaceCache.snapshot(in: URL(filePath: path)) { return snapshot }
        guard isDirectory.boolValue || ModelSource.isGGUF(URL(filePath: path)) else {
            throw CommandError(.noModelFile, path)
        }
        return URL(filePath: path, directoryHint: isDirectory.boolValue ? .isDirectory : .notDirectory)
    }

    /// The toy model that is part of the program.
    private static func demo(_ argument: String) throws(CommandError) -> URL {
        guard let demo = ModelsDirectory.find()?.appending(path: "Demo", directoryHint: .isDirectory),
            FileManager.default.fileExists(atPath: demo.appending(path: "model.safetensors").path)
        else { throw CommandError(.modelNotGiven, argument) }
        ByteSink.standardError.report(
            "no --model, so the demo model answers: it knows a hundred words and a few shapes. \(howToGetOne)")
        return demo
    }
}

/// The file with the towers of a GGUF model.
struct TowersOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Towers of a .gguf file; default: found beside it.", valueName: "file"))
    var mmproj: String?

    @Flag(help: "Take text alone, whatever towers are beside it.")
    var noMmproj = false

    func validate() throws {
        if mmproj != nil, noMmproj { throw ValidationError("give either --mmproj or --no-mmproj") }
    }

    /// - Throws: `CheckpointError`.
    func source(_ model: URL) throws -> ModelSource {
        let logger = Logger(label: "gemma4")
        return try ModelSource(
            contentsOf: model, projector: mmproj.map { URL(filePath: $0) }, takesTextAlone: noMmproj
        ) { logger.warning("\($0)") }
    }
}

/// The model and the number of threads.
struct ModelOptions: ParsableArguments {
    @OptionGroup var path: ModelPath

    @Option(help: ArgumentHelp("Threads; default: one for each core.", valueName: "n"))
    var threads: Int?

    @OptionGroup var precision: PrecisionOptions

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads: expected 1 to 1024, found \(threads)")
        }
    }

    /// - Parameter parallel: number of concurrent answers for a single user, who waits for all of them, so that the
    ///   duration of a step is not bounded. Nil: the library's defaults.
    func open(parallel: Int? = nil) throws -> Gemma4Pipeline {
        let limits = parallel.map { EngineLimits(runningSequences: $0, stepBound: .infinity) }
        return try precision.open(path.source(), threads: threads, limits: limits)
    }
}

/// Options that trade precision for speed.
struct PrecisionOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("Round weights as they are read; types: see quantize.", valueName: "type"),
        transform: { try ElementType($0, among: ElementType.allCases.filter { $0.blockLength > 1 }) })
    var quant: ElementType?

    @Option(help: ArgumentHelp("Of the encoders.", valueName: "p"))
    var towerPrecision = TowerPrecision.fp32

    @Option(
        help: ArgumentHelp(
            "Keys and values of past tokens: \(KeyValueType.list); default: f16 beside weights in blocks, else f32.",
            valueName: "type", visibility: .hidden),
        transform: KeyValueType.init(argument:))
    var kvCache: KeyValueType?

    enum TowerPrecision: String, ExpressibleByArgument, CaseIterable { case fp32, int8 }

    /// - Throws: `ValidationError` if weights cannot be quantized to the type, which only synthetic weights can have.
    func open(
        _ source: ModelSource, threads: Int?, limits: EngineLimits? = nil, logger: Logger = Logger(label: "gemma4")
    ) throws -> Gemma4Pipeline {
        try Gemma4Pipeline(source, threadCount: threads, precision: checked(), limits: limits, logger: logger)
    }

    /// - Throws: `ValidationError` if weights cannot be quantized to the type.
    func checked() throws -> Precision {
        if let quant, !BlockQuantizer.types.contains(quant) {
            throw ValidationError(
                "--quant: \(quant.argument) needs to know how much each weight matters, and is read from GGUF files only; "
                    + "expected \(ElementType.list(BlockQuantizer.types))")
        }
        return precision
    }

    var precision: Precision {
        var precision = Precision()
        precision.quantization = quant
        precision.keyValueType = kvCache
        precision.towerActivations = towerPrecision == .int8 ? .int8 : .float32
        return precision
    }
}

/// Soft-token budget of an image.
struct ImageTokensOption: ParsableArguments {
    @Option(
        name: .customLong("image-tokens"),
        help: ArgumentHelp("Most soft tokens of a picture: 70, 140 … 1120.", valueName: "n"))
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
