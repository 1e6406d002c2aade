import COpenBLAS
import Dispatch
import Foundation
import Synchronization

/// Matrix products of OpenBLAS, the reference for the speed of our own; each call runs on the calling thread. See
/// BLASCore.swift for its setup.
enum BLAS {
    /// OpenBLAS has buffers for 50 concurrent callers, or for twice its MAX_THREADS; 0.3.21 crashes beyond that.
    private static let callerLimit: Int = {
        let setting = String(cString: openblas_get_config()).split(separator: " ").first {
            $0.hasPrefix("MAX_THREADS=")
        }
        return max(48, setting.flatMap { Int($0.dropFirst("MAX_THREADS=".count)) } ?? 0)
    }()
    private static let callers = DispatchSemaphore(value: callerLimit)

    /// out[t, r] = Σ_c weight[r, c] · x[t, c]; strides in elements. Call `prepare` first.
    static func product(
        _ out: UnsafeMutablePointer<Float>, outStride: Int, _ weight: UnsafePointer<Float>, weightStride: Int,
        _ x: UnsafePointer<Float>, xStride: Int, tokens: Int, rows: Int, columns: Int
    ) {
        callers.wait()
        defer { callers.signal() }
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, blasint(tokens), blasint(rows), blasint(columns), 1, x,
            blasint(xStride),
            weight, blasint(weightStride), 0, out, blasint(outStride))
    }

    // MARK: Buffers

    /// The buffer that OpenBLAS maps for each concurrent caller; a product touches a small part of it.
    static let bufferBytes = 128 << 20
    private static let prepared = Mutex(0)

    /// Chooses the core, and maps and touches the buffers of `count` concurrent callers.
    ///
    /// Mapped: if the address space is limited, OpenBLAS's allocator would retry forever. Touched: on some machines
    /// (a virtual Zen 1, OpenBLAS 0.3.21) products run at a third of their speed as long as the pages behind those
    /// that a product has written were never touched, probably because the kernels prefetch from them and each
    /// prefetch walks the page tables in vain.
    ///
    /// - Throws: `BLASMemoryError`, without allocating anything.
    static func prepare(callers count: Int) throws(BLASMemoryError) {
        let count = min(count, callerLimit)
        let isMissing = prepared.withLock { prepared in
            guard count > prepared else { return false }
            guard canMap((count - prepared) * bufferBytes) else { return true }
            _ = BLASCore.current
            touchBuffers(count)
            prepared = count
            return false
        }
        if isMissing { throw BLASMemoryError(threads: count) }
    }

    static func canMap(_ byteCount: Int) -> Bool {
        let address = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let address, address != MAP_FAILED else { return false }
        munmap(address, byteCount)
        return true
    }

    /// Allocates the buffers of `count` callers, writes to each page of their first 4 MiB, and frees them; does
    /// nothing if this OpenBLAS does not export its allocator.
    private static func touchBuffers(_ count: Int) {
        typealias Allocate = @convention(c) (CInt) -> UnsafeMutableRawPointer?
        typealias Free = @convention(c) (UnsafeMutableRawPointer) -> Void
        let program = dlopen(nil, RTLD_NOW)
        guard let allocate = dlsym(program, "blas_memory_alloc"), let free = dlsym(program, "blas_memory_free") else {
            return
        }
        let buffers = (0..<count).compactMap { _ in unsafeBitCast(allocate, to: Allocate.self)(0) }
        for buffer in buffers {
            for page in stride(from: 0, to: 4 << 20, by: 4096) {
                buffer.storeBytes(of: 0, toByteOffset: page, as: UInt8.self)
            }
        }
        for buffer in buffers { unsafeBitCast(free, to: Free.self)(buffer) }
    }
}

/// Not enough address space for OpenBLAS's buffers.
package struct BLASMemoryError: Error, Equatable, CustomStringConvertible {
    /// Threads that multiply concurrently.
    package let threads: Int

    package var description: String {
        """
        OpenBLAS, which bench measures the machine with, needs \(threads * BLAS.bufferBytes >> 20) MiB of address space \
        for \(threads) thread\(threads == 1 ? "" : "s"), \(BLAS.bufferBytes >> 20) MiB each, and the system refuses it; \
        raise the limit (ulimit -v) or take fewer threads (--threads).
        """
    }
}
