import Foundation
import Gemma4
import JSONText
import Tokenization
import Weights

/// The files of a model, opened but not yet read: a directory as published on Hugging Face, or a GGUF file with the one that
/// holds its towers.
///
/// Each part is read when it is asked for, so that a tool which needs the tokenizer alone needs no weights.
public enum ModelSource: Sendable {
    case directory(URL)
    /// The text model, and the towers, `mmproj`; without them the model takes text alone.
    case gguf(GGUFShards, projector: GGUFShards?)

    /// - Parameters:
    ///   - url: a directory, as published or with the GGUF files of one model; or a `.gguf` file, the whole model or any
    ///     one of its shards.
    ///   - projector: the GGUF file of the towers; nil takes the one beside the model whose name holds "mmproj". Of several
    ///     that is `mmproj-<model>`, as `gemma4 quantize` names it, or else the one nearest to the published bf16 by its
    ///     name: bf16, f16, f32, q8_0.
    /// - Throws: `CheckpointError` if a GGUF file cannot be read.
    public init(contentsOf url: URL, projector: URL? = nil) throws(CheckpointError) {
        guard url.pathExtension.lowercased() == "gguf" else {
            if let model = Self.onlyModel(in: url) {
                self = try ModelSource(contentsOf: model, projector: projector)
                return
            }
            if let projector {
                throw CheckpointError(
                    .invalidValue, file: projector.path, expected: "a GGUF file as its text model",
                    found: "\(url.path), which is none", remedy: "A directory brings its own towers.")
            }
            self = .directory(url)
            return
        }
        let path = projector?.path ?? Self.projector(beside: url)
        self = .gguf(
            try GGUFShards(url.path),
            projector: try path.map { path throws(CheckpointError) in
                try GGUFShards(path)
            })
    }

    /// The only model of a directory that holds GGUF files and no published checkpoint.
    private static func onlyModel(in directory: URL) -> URL? {
        guard !FileManager.default.fileExists(atPath: directory.appending(path: "config.json").path) else { return nil }
        // Of a split model the first shard stands for all.
        let models = ggufFiles(directory).filter { name in
            !isProjector(name) && (!name.contains("-of-") || name.contains("-00001-of-"))
        }
        return models.count == 1 ? directory.appending(path: models[0]) : nil
    }

    private static func ggufFiles(_ directory: URL) -> [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return files.filter { $0.lowercased().hasSuffix(".gguf") }
    }

    private static func isProjector(_ name: String) -> Bool { name.lowercased().contains("mmproj") }

    /// Names of the files of towers beside a model.
    static func projectors(beside model: URL) -> [String] {
        ggufFiles(model.deletingLastPathComponent()).filter { isProjector($0) && $0 != model.lastPathComponent }
            .sorted()
    }

    /// Path of the file of towers beside a model; nil if there is none, or none that stands out.
    private static func projector(beside model: URL) -> String? {
        let names = projectors(beside: model)
        let sameName = names.filter { $0 == "mmproj-\(model.lastPathComponent)" }
        let byType = ["bf16", "f16", "f32", "q8_0"].map { type in
            names.filter {
                $0.lowercased().split { !$0.isLetter && !$0.isNumber && $0 != "_" }.contains(Substring(type))
            }
        }
        return ([sameName, names] + byType).first { $0.count == 1 }
            .map { model.deletingLastPathComponent().appending(path: $0[0]).path }
    }

    // MARK: Parts

    /// - Throws: `CheckpointError`, `TokenizerError`.
    public func tokenizer() throws -> Tokenizer {
        switch self {
        case .directory: try Tokenizer(contentsOf: path("tokenizer.json"))
        case .gguf(let text, _): try Tokenizer(text.tokenizerMetadata())
        }
    }

    /// - Throws: `CheckpointError`, and `TokenizerError` for GGUF.
    public func configuration() throws -> ModelConfiguration {
        switch self {
        case .directory: return try ModelConfiguration(contentsOf: path("config.json"))
        case .gguf(let text, let projector):
            let tokens = try text.tokenizerMetadata().specialTokens()
            return try ModelConfiguration(text, projector: projector) { tokens[$0] }
        }
    }

    /// The weights.
    ///
    /// - Throws: `CheckpointError` if they are not as `table` says.
    public func checkpoint(_ table: TensorTable) throws(CheckpointError) -> Checkpoint {
        switch self {
        case .directory(let url): try Checkpoint(url.path, checkedAgainst: table)
        case .gguf(let text, let projector): try Checkpoint(text, projector: projector, checkedAgainst: table)
        }
    }

    /// The source of the chat template; nil if there is none.
    public var chatTemplate: String? {
        switch self {
        case .directory: try? String(contentsOfFile: path("chat_template.jinja"), encoding: .utf8)
        case .gguf(let text, _): text.metadata["tokenizer.chat_template"]?.string
        }
    }

    public var hasWeights: Bool {
        switch self {
        case .directory: ["model.safetensors", "model.safetensors.index.json"].contains(where: isPresent)
        case .gguf: true
        }
    }

    public var hasTokenizer: Bool {
        switch self {
        case .directory: isPresent("tokenizer.json")
        case .gguf: true
        }
    }

    private func isPresent(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }

    /// Where the chat template is looked for.
    var chatTemplatePlace: String {
        switch self {
        case .directory: path("chat_template.jinja")
        case .gguf(let text, _): "\(text.path), tokenizer.chat_template"
        }
    }

    /// - Throws: `CheckpointError`.
    func generationConfiguration(_ tokenizer: Tokenizer) throws(CheckpointError) -> GenerationConfiguration {
        switch self {
        case .directory: try GenerationConfiguration(contentsOf: path("generation_config.json"))
        case .gguf(let text, _): try GenerationConfiguration(text) { tokenizer.specialTokens[$0] }
        }
    }

    /// GGUF files say nothing of it: the reference's defaults hold, which are the published values.
    ///
    /// - Throws: `CheckpointError`.
    func processorConfiguration() throws(CheckpointError) -> ProcessorConfiguration {
        switch self {
        case .directory: try ProcessorConfiguration(contentsOf: path("processor_config.json"))
        case .gguf: try ProcessorConfiguration(contentsOf: nil)
        }
    }

    /// A file of a directory.
    private func path(_ name: String) -> String {
        switch self {
        case .directory(let url): url.appending(path: name).path
        case .gguf(let text, _): text.path
        }
    }
}

extension GGUFShards {
    fileprivate func tokenizerMetadata() throws(CheckpointError) -> TokenizerMetadata {
        let prefix = "tokenizer.ggml."
        func array<Values>(_ key: String, _ values: (GGUFArray) -> Values?) throws(CheckpointError) -> Values {
            guard let value = metadata[prefix + key], let values = value.array.flatMap(values) else {
                throw CheckpointError(
                    metadata[prefix + key] == nil ? .missingKey : .invalidValue, file: path, place: prefix + key,
                    expected: "the vocabulary's \(key)", found: metadata[prefix + key]?.summary ?? "none",
                    remedy: "Convert the model again with a current converter, or get another file.")
            }
            return values
        }
        let model = metadata["\(prefix)model"]?.string
        guard model == "gemma4" else {
            throw CheckpointError(
                .unsupportedModel, file: path, place: "\(prefix)model", expected: "\"gemma4\"",
                found: model.map { "\"\($0)\"" } ?? "none",
                remedy: "Convert the model again with a current converter, or get another file.")
        }
        return TokenizerMetadata(
            pieces: try array("tokens", \.strings), types: try array("token_type", \.integers),
            merges: try array("merges", \.strings), file: path)
    }
}
