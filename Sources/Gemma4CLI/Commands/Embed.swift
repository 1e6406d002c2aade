import ArgumentParser
import Foundation
import Gemma4Kit
import Generation
import JSONText
import Media
import Tensors

struct Embed: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make vectors to search by of texts, pictures, recordings and films.",
        usage: "gemma4 embed [<options>] [--text <text>] ... [<file>] ...",
        discussion: """
            EmbeddingGemma 2 writes {"input": …, "embedding": […]} for each, in a line. Folders are searched through; files \
            that are no media are texts, and so is each line of standard input (-).

            Example: gemma4 embed --model embeddinggemma-2 --task document notes.md photo.jpg -o a.jsonl
            Example: gemma4 embed --soft-tokens --model gemma-4-E2B-it --image photo.jpg -o a.npy
            """)

    @Argument(help: ArgumentHelp("Files or folders; - is standard input.", valueName: "file"))
    var files: [String] = []

    @Option(help: ArgumentHelp("A text.", valueName: "text"))
    var text: [String] = []

    @Option(help: ArgumentHelp("What for: query, document … as published with the model.", valueName: "task"))
    var task: String?

    @Option(help: ArgumentHelp("768, 512, 256 or 128.", valueName: "n"))
    var dimensions: Int?

    @Option(help: ArgumentHelp("npy: rows alone, zeros where an input failed.", valueName: "jsonl|npy"))
    var format = Format.jsonl

    @Option(name: .shortAndLong, help: ArgumentHelp("Where to write; - is standard output.", valueName: "file"))
    var output: String?

    @Flag(help: "Leave out inputs that are in the file of -o already.")
    var resume = false

    @OptionGroup var model: ModelOptions

    @Flag(help: "Save what Gemma 4 sees of --image or hears of --audio instead, float32 [tokens, hiddenSize].")
    var softTokens = false

    @Option(help: ArgumentHelp("A picture; - is standard input.", valueName: "file"))
    var image: String?

    @Option(help: ArgumentHelp("A recording; - is standard input.", valueName: "file"))
    var audio: String?

    @OptionGroup var imageTokens: ImageTokensOption

    enum Format: String, ExpressibleByArgument, CaseIterable { case jsonl, npy }

    func validate() throws {
        if softTokens {
            guard (image == nil) != (audio == nil) else { throw ValidationError("expected one of --image and --audio") }
            guard output != nil else { throw ValidationError("--soft-tokens needs -o") }
            guard files.isEmpty, text.isEmpty, task == nil, dimensions == nil, !resume else {
                throw ValidationError("--soft-tokens takes --image or --audio, and no other input")
            }
            return
        }
        guard image == nil, audio == nil, imageTokens.count == nil else {
            throw ValidationError(
                "--image, --audio and --image-tokens go with --soft-tokens; vectors are made of files as they are")
        }
        guard !files.isEmpty || !text.isEmpty else { throw ValidationError("give --text or files") }
        try FileAnswers.validate(files)
        if resume, output == nil || output == StandardInput.argument || format != .jsonl {
            throw ValidationError("--resume needs -o and --format jsonl: there it sees what is done")
        }
        if format == .npy, output == nil { throw ValidationError("--format npy needs -o") }
    }

    func run() async throws {
        try await softTokens ? writeSoftTokens() : writeEmbeddings()
    }

    // MARK: Embeddings

    /// An input and its name in results.
    private enum Item {
        case text(String)
        case file(InputFile)

        var name: String {
            switch self {
            case .text(let text): text
            case .file(let file): file.path
            }
        }

        /// Its name in messages.
        var title: String {
            switch self {
            case .text(let text): "“\(text.prefix(40))\(text.count > 40 ? "…" : "")”"
            case .file(let file): file.path
            }
        }
    }

    private static let texts: Set<String> = ["txt", "md"]
    private static let kinds = InputFile.pictures.union(InputFile.recordings).union(InputFile.films).union(texts)

    private func writeEmbeddings() async throws {
        let all = try items()
        let output = output == StandardInput.argument ? nil : output
        let paths = all.compactMap { if case .file(let file) = $0 { file.path } else { nil } }
        try OutputFile.check(output.map { [$0] } ?? [], inputs: paths)
        let embedder = try model.openEmbedder()
        try check(embedder)
        let results = try format == .jsonl ? output.map { try ResultsFile($0, resumes: resume, key: "input") } : nil
        try check(results, embedder)
        let done = results?.inputs ?? []
        let doneFiles = Set(done.map { Caption.canonical($0, besides: output) })
        let items = all.filter { item in
            switch item {
            case .text(let text): !done.contains(text)
            case .file(let file): !doneFiles.contains(file.canonicalPath)
            }
        }
        if items.count < all.count {
            ByteSink.standardError.report("\(all.count - items.count) of \(all.count) inputs are done already")
        }
        var vectors = [[Float]?](repeating: nil, count: format == .npy ? items.count : 0)
        let failure = try await embed(items, embedder) { index, vector throws(CommandError) in
            if format == .npy {
                vectors[index] = vector
                return
            }
            try (results?.sink ?? .standardOutput).write(Self.line(items[index].name, vector))
            try results?.publish()
        }
        if format == .npy {
            let width = dimensions ?? embedder.dimensions[0]
            let rows = vectors.flatMap { $0 ?? [Float](repeating: 0, count: width) }
            try write(NumpyFile(rows, shape: [items.count, width]))
        }
        if let failure { throw ExitCode(failure.rawValue) }
    }

    /// Embeds inputs in a batch, in their order. Reports inputs that fail and continues with the others.
    ///
    /// - Returns: the exit status of the first failure.
    private func embed(
        _ items: [Item], _ embedder: Embedder, _ use: (Int, [Float]) throws(CommandError) -> Void
    ) async throws -> ExitStatus? {
        let progress = ProgressLine("\(items.count) inputs")
        progress.begin()
        defer { progress.end() }
        var failure: ExitStatus?
        func report(_ error: any Error, _ index: Int) throws {
            if let error = error as? CommandError, error.isAboutOutput { throw error }
            guard let status = ExitStatus(error) else { throw error }
            let namesItsFile = error is MediaError || error is CommandError
            ByteSink.standardError.report(namesItsFile ? "\(error)" : "\(items[index].title.displayed): \(error)")
            failure = failure ?? status
        }
        var batch: [(index: Int, prompt: Prompt)] = []
        func finish() async throws {
            let ready = batch
            batch = []
            do {
                let vectors = try await embedder.embed(ready.map(\.prompt), dimensions: dimensions)
                for (item, vector) in zip(ready, vectors) { try use(item.index, vector) }
            } catch  where ready.count > 1 && !(error is CommandError) {
                // One input of the batch is unreadable: embed them one by one.
                for item in ready {
                    do {
                        try use(item.index, try await embedder.embed([item.prompt], dimensions: dimensions)[0])
                    } catch { try report(error, item.index) }
                }
            } catch {
                guard let item = ready.first else { return }
                try report(error, item.index)
            }
            progress.show(share: Double((ready.last?.index ?? 0) + 1) / Double(items.count))
        }
        for (index, item) in items.enumerated() {
            do {
                let prompt = try await prompt(item, embedder)
                let tokens = batch.reduce(prompt.tokens.count) { $0 + $1.prompt.tokens.count }
                if !batch.isEmpty, tokens > Embedder.tokensPerBatch { try await finish() }
                batch.append((index, prompt))
            } catch { try report(error, index) }
        }
        if !batch.isEmpty { try await finish() }
        return failure
    }

    private func items() throws -> [Item] {
        var items = text.map(Item.text)
        for file in files.isEmpty ? [] : try InputFile.expand(files, Self.kinds) {
            if file.isStandardInput {
                items += try StandardInput.readText().split(whereSeparator: \.isNewline).map { .text(String($0)) }
            } else {
                items.append(.file(file))
            }
        }
        return items
    }

    private func prompt(_ item: Item, _ embedder: Embedder) async throws -> Prompt {
        switch item {
        case .text(let text): try await embedder.prompt(.text(text), task: task)
        case .file(let file):
            try await file.withOpenablePath { path in
                try await embedder.prompt(try input(file, at: path), task: task)
            }
        }
    }

    /// The type of an input by its content, else by its file extension; a file without a media extension is a text.
    private func input(_ file: InputFile, at path: String) throws -> EmbeddingInput {
        let url = URL(filePath: path)
        let name = URL(filePath: file.path).pathExtension.lowercased()
        switch Self.texts.contains(name) ? nil : MediaKind(of: url)?.medium {
        case .picture: return .image(.file(url))
        case .sound: return .audio(.file(url))
        case .film: return .video(.file(url))
        case nil: break
        }
        if InputFile.films.contains(name) { return .video(.file(url)) }
        if InputFile.pictures.contains(name) { return .image(.file(url)) }
        if InputFile.recordings.contains(name) { return .audio(.file(url)) }
        do {
            guard let text = String(validating: try Data(contentsOf: url), as: UTF8.self) else {
                throw CommandError(.notUTF8, file.path)
            }
            return .text(text)
        } catch let error as CocoaError {
            throw CommandError(.unreadable(reason: error.localizedDescription), file.path)
        }
    }

    private static func line(_ input: String, _ vector: [Float]) -> String {
        let numbers = vector.map { "\($0)" }.joined(separator: ",")
        return #"{"input":\#(JSONValue.string(input).json),"embedding":[\#(numbers)]}"# + "\n"
    }

    private func check(_ embedder: Embedder) throws {
        let tasks = embedder.tasks
        if let task, !tasks.isEmpty, !tasks.contains(where: { $0.lowercased() == task.lowercased() }) {
            throw ValidationError("--task: expected one of \(tasks.joined(separator: ", ")), found \(task)")
        }
        if let dimensions, !embedder.dimensions.contains(dimensions) {
            let known = embedder.dimensions.map(String.init).joined(separator: ", ")
            throw ValidationError("--dimensions: expected one of \(known), found \(dimensions)")
        }
    }

    /// All vectors of a results file must have the same length.
    private func check(_ results: ResultsFile?, _ embedder: Embedder) throws {
        guard let output, case .array(let numbers)? = results?.firstLine?["embedding"] else { return }
        let wanted = dimensions ?? embedder.dimensions[0]
        guard numbers.count != wanted else { return }
        throw ValidationError(
            "--resume: \(output) holds vectors of \(numbers.count) dimensions, these would have \(wanted)")
    }

    // MARK: Soft tokens

    private func writeSoftTokens() async throws {
        let input = image ?? audio ?? StandardInput.argument
        if let output, output != StandardInput.argument { try OutputFile.check([output], inputs: [input]) }
        let pipeline = try model.open()
        let progress = ProgressLine(input)
        progress.begin()
        defer { progress.end() }
        let pieces = try await softTokens(pipeline)
        let width = pipeline.model.configuration.textConfig.hiddenSize
        let file = NumpyFile(pieces.flatMap { $0.toArray() }, shape: [pieces.reduce(0) { $0 + $1.shape[0] }, width])
        progress.end()
        try write(file)
    }

    private func softTokens(_ pipeline: Gemma4Pipeline) async throws -> [Tensor] {
        if let image {
            return [try await pipeline.softTokens(try ImageInput(argument: image), maxTokens: imageTokens.count)]
        }
        return try await pipeline.softTokens(try AudioInput(argument: audio ?? StandardInput.argument))
    }

    private func write(_ file: NumpyFile) throws(CommandError) {
        guard let output, output != StandardInput.argument else { return try ByteSink.standardOutput.write(file.bytes) }
        try OutputFile(output).replace(with: file.bytes)
    }
}

extension ModelOptions {
    /// - Throws: `CheckpointError`, also if it is a generative model.
    fileprivate func openEmbedder() throws -> Embedder {
        guard path.isGiven else {
            throw ValidationError(
                "no model: give --model, or set \(ModelPath.variable). Get one with: "
                    + "hf download google/embeddinggemma-2 --local-dir embeddinggemma-2")
        }
        return try Embedder(path.source(), threadCount: threads, precision: precision.checked())
    }
}
