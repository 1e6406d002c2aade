import Foundation
import Gemma4
import TestSupport
import Testing

@testable import Conversion

/// Counts of linear layers against the shapes of the published tensors: every matrix row is multiplied once per patch
/// or frame.
@Suite struct TowerWorkTests {
    private func configuration(_ variant: String) throws -> ModelConfiguration {
        let models = Goldens.folder.deletingLastPathComponent().deletingLastPathComponent().appending(path: "Models")
        return try ModelConfiguration(contentsOf: models.appending(path: "\(variant)/config.json").path)
    }

    private func elements(_ configuration: ModelConfiguration, _ part: String) -> Int {
        TensorTable(configuration).rows.filter { $0.name.contains(part) && $0.shape.rank > 1 }
            .reduce(0) { $0 + $1.shape.count }
    }

    @Test(arguments: ["E2B", "E4B", "31B", "26B-A4B"])
    func countsAPicture(variant: String) throws {
        let configuration = try configuration(variant)
        let vision = try #require(configuration.visionConfig)
        let layers = elements(configuration, "vision_tower.encoder")
        let input = elements(configuration, "vision_tower.patch_embedder.input_proj")
        let output = elements(configuration, "embed_vision")
        let attention = vision.numHiddenLayers * 2 * 567 * 567 * vision.numAttentionHeads * vision.headDim
        #expect(
            TowerWork(configuration: configuration).picture(patches: 567, softTokens: 63)
                == 2 * (567 * (layers + input) + 63 * output + attention))
    }

    @Test func countsWhatHasNoTower() throws {
        let configuration = try configuration("12B")
        let work = TowerWork(configuration: configuration)
        let picture = elements(configuration, "patch_dense") + elements(configuration, "embed_vision")
        #expect(work.picture(patches: 260, softTokens: 260) == 2 * 260 * picture)
        #expect(work.sound(frames: 740) == 2 * 740 * elements(configuration, "embed_audio"))
    }

    @Test(arguments: ["E2B", "E4B"])
    func countsARecording(variant: String) throws {
        let configuration = try configuration(variant)
        let audio = try #require(configuration.audioConfig)
        let (frames, halved, whole) = (740, 1480, 2959)
        let layers = elements(configuration, "audio_tower.layers") - elements(configuration, "relative_k_proj")
        let ends =
            elements(configuration, "audio_tower.output_proj") + elements(configuration, "embed_audio")
            + elements(configuration, "input_proj_linear")
        let first = halved * 64 * elements(configuration, "layer0.conv")
        let second = frames * 32 * elements(configuration, "layer1.conv")
        let attention = audio.numHiddenLayers * 3 * (audio.attentionContextLeft - 1) * audio.hiddenSize
        #expect(
            TowerWork(configuration: configuration).sound(frames: whole)
                == 2 * (frames * (layers + ends + attention) + first + second))
    }
}
