import TestSupport
import Testing

/// Tests that run over the golden cases would pass if there were none.
@Test(arguments: Goldens.variants)
func everyVariantHasItsCases(variant: String) {
    let names = Set(GoldenCase.all.filter { $0.variant == variant }.map(\.name))
    #expect(
        names.isSuperset(of: [
            "text", "long-text", "stop", "system", "thinking", "turns", "image", "images", "image-turns",
        ]))
    #expect(names.isSuperset(of: ["audio", "audios", "image-audio"]) == ["E2B", "E4B", "12B"].contains(variant))
    #expect(GoldenCase.all.contains { $0.variant == variant && $0.traced })
}
