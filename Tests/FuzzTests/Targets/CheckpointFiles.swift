import Foundation
import JSONText
import TestSupport

@testable import Gemma4
@testable import Gemma4Kit
@testable import Tokenization
@testable import Weights

/// Reads every byte of every tensor.
private func readTensors(_ checkpoint: Checkpoint) {
    for entry in checkpoint.entries.values {
        precondition(entry.byteCount >= 0 && entry.bytes.count <= entry.file.byteCount)
    }
    _ = checkpoint.firstNotFinite()
}

func readSafetensors(_ bytes: [UInt8]) throws {
    let folder = try TemporaryDirectory()
    try folder.write(bytes, to: "model.safetensors")
    readTensors(try Checkpoint(folder.path))
}

/// The index refers to two shards, of the tensors "a" and "b".
func readShardIndex(_ bytes: [UInt8]) throws {
    let folder = try TemporaryDirectory()
    for name in ["a", "b"] {
        let header = #"{"\#(name)":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#
        let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian, Array.init)
        try folder.write(length + header.utf8 + [0, 0, 128, 63], to: "\(name).safetensors")
    }
    try folder.write(bytes, to: "model.safetensors.index.json")
    readTensors(try Checkpoint(folder.path))
}

func readGGUF(_ bytes: [UInt8]) throws {
    let folder = try TemporaryDirectory()
    let path = try folder.write(bytes, to: "model.gguf")
    let file = try GGUFShards(path)
    for tensor in file.files.flatMap(\.tensors) {
        precondition(tensor.range.upperBound <= bytes.count && !tensor.shape.contains { $0 < 1 })
        _ = file.floats(tensor.name)
    }
    for value in file.metadata.values {
        _ = (value.summary, value.integer, value.number, value.string, value.array?.integers)
        if let strings = value.array?.strings { precondition(strings.ends.count == value.array?.count) }
    }
    // As the towers of a model, and as a model: few files are.
    let model = ModelSource.gguf(file, projector: file)
    let uses: [() throws -> Void] = [
        { try ModelConfiguration.checkIsProjector(path, file.metadata) },
        { try ModelConfiguration.checkProjector(file, of: file) },
        { _ = try model.generationConfiguration(model.tokenizer()) },
        {
            let configuration = try model.configuration()
            useSizes(of: configuration)
            readTensors(try model.checkpoint(TensorTable(configuration)))
        },
    ]
    for use in uses {
        do { try use() } catch { _ = "\(error)" }
    }
}

func readTokenizer(_ bytes: [UInt8]) throws {
    let tokenizer = try Tokenizer(TokenizerFile(Data(bytes), path: "tokenizer.json"))
    let text = "Hello, <bos>wörld 12\u{0}😀\n"
    for ids in [tokenizer.encode(text), tokenizer.encode(text, parseSpecial: true)] {
        precondition(ids.allSatisfy { 0..<tokenizer.vocabularySize ~= $0 })
        _ = tokenizer.decode(ids)
    }
}

/// Derives all sizes from a configuration, without reading weights.
private func useSizes(of configuration: ModelConfiguration) {
    let table = TensorTable(configuration)
    precondition(table.rows.allSatisfy { $0.shape.count >= 0 } && table.publishedParameterCount > 0)
    let text = configuration.textConfig
    for positions in [1, text.maxPositionEmbeddings] {
        precondition(
            KVCache.byteCount(text.layerPlans, positions: positions, chunkLength: 512, type: .float32) >= 0)
    }
    _ = (GGUFMetadata.text(configuration), GGUFMetadata.projector(configuration))
}

func readConfiguration(_ bytes: [UInt8]) throws {
    let folder = try TemporaryDirectory()
    useSizes(of: try ModelConfiguration(contentsOf: folder.write(bytes, to: "config.json")))
}

/// The bytes are `quantization_config`, within a configuration that is whole.
func readQuantization(_ bytes: [UInt8]) throws {
    let file = Goldens.folder.appending(path: "mobile/checkpoint/config.json")
    guard case .object(let members) = try JSONValue(parsing: String(contentsOf: file, encoding: .utf8)) else { return }
    let quantization = try JSONValue(parsing: bytes)
    let changed = members.filter { $0.key != "quantization_config" } + [.init("quantization_config", quantization)]
    try readConfiguration(Array(JSONValue.object(changed).json.utf8))
}

func readGenerationConfiguration(_ bytes: [UInt8]) throws {
    let folder = try TemporaryDirectory()
    _ = try GenerationConfiguration(contentsOf: folder.write(bytes, to: "generation_config.json"))
}

func readProcessorConfiguration(_ bytes: [UInt8]) throws {
    let folder = try TemporaryDirectory()
    let configuration = try ProcessorConfiguration(contentsOf: folder.write(bytes, to: "processor_config.json"))
    _ = try MelSpectrogram(configuration.featureExtractor)
}

func readEmbeddingPrompts(_ bytes: [UInt8]) throws {
    let folder = try TemporaryDirectory()
    _ = try EmbeddingPrompts(contentsOf: folder.write(bytes, to: "config_sentence_transformers.json"))(nil)
}

func readModulePattern(_ bytes: [UInt8]) throws {
    let pattern = ModulePattern(String(decoding: bytes, as: UTF8.self))
    for name in ["", "model.language_model.layers.12.self_attn.q_proj", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"] {
        if let place = pattern?.firstMatch(in: name) { precondition(0...name.utf8.count ~= place) }
    }
}
