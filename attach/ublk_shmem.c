/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that clients share with us (UBLK_F_SHMEM_ZC, Linux 7.1): a file of tmpfs, hugetlbfs or a memfd that both map. The
 * kernel knows its pages, and hands on a direct request whose pages they are as an offset in it, not as a copy; the device
 * has all of it mapped, so that the offset is an address for the device as well. Recipe: docs/ublk.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach/ublk.h"

/* One mapping for the device is at most 2^31 bytes (ob_dma_map()). */
#define SHARE_MAX (1ull << 31)

static int map_file(struct ublk_attach *u, const char *path, struct ob_error *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int fd = open(path, O_RDWR | O_CLOEXEC), ret;
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st)) {
		ret = -errno;
		if (fd >= 0)
			close(fd);
		ob_error_set(err, ret, "ublk: share=%s cannot be opened: %s", path, strerror(-ret));
		if (ret == -ENOENT)
			ob_error_fix(err, "truncate -s 64M %s", path);
		return ret;
	}
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || (uint64_t)st.st_size > SHARE_MAX ||
	    (size_t)st.st_size % page) {
		close(fd);
		ob_error_set(err, -EINVAL, "ublk: share=%s is no file of whole pages up to 2 GiB",
			     path);
		ob_error_fix(err, "truncate -s 64M %s", path);
		return -EINVAL;
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ret = p == MAP_FAILED ? -errno : 0;
	close(fd);
	if (ret)
		return ob_error_set(err, ret, "ublk: share=%s cannot be mapped: %s", path,
				    strerror(-ret));
	u->share.base = p;
	u->share.len = (uint64_t)st.st_size;
	/* What tells two shares apart when a device is taken over; never 0. */
	u->share_mark = (uint16_t)((st.st_ino * 2654435761u) >> 16 ^ st.st_dev) | 1u;
	return 0;
}

int ublk_share_open(struct ublk_attach *u, const char *path, struct ob_error *err)
{
	struct ob_dma *dma = u->disk.blk->dma;
	int ret;

	if (!(u->features & UBLK_F_SHMEM_ZC)) {
		disk_log(&u->disk, OB_LOG_WARN,
			 "ublk: this kernel cannot share memory with clients (it came with Linux "
			 "7.1): payload is copied once, as without share=");
		return 0;
	}
	ret = map_file(u, path, err);
	if (ret)
		return ret;
	ret = ob_dma_map(dma, u->share.base, u->share.len, OB_DMA_BOTH, &u->share_map);
	if (!ret && u->share_map.way == OB_DMA_WAY_BOUNCE) {
		ob_dma_unmap(&u->share_map);
		ret = -EFAULT;
	}
	if (ret) {
		ob_error_set(err, ret,
			     "ublk: the device cannot be given the memory of share=%s: %s", path,
			     strerror(-ret));
		ob_error_why(err, "it needs an IOMMU, and as much lockable memory");
		ob_error_fix(err, "use VFIO; ulimit -l unlimited");
		munmap(u->share.base, u->share.len);
		u->share.base = NULL;
		return ret;
	}
	return 0;
}

int ublk_share_register(struct ublk_attach *u, struct ob_error *err)
{
	struct ublk_shmem_buf_reg reg = {.addr = (uintptr_t)u->share.base, .len = u->share.len};
	int ret;

	if (!u->share.base || !(u->dev.flags & UBLK_F_SHMEM_ZC))
		return 0;
	/*
	 * What was registered with a device that is taken over stays so, under the same number, and cannot be
	 * changed while requests wait for us.
	 */
	ret = u->taken ? 0
		       : ublk_ctrl_cmd(&u->ctrl, UBLK_U_CMD_REG_BUF, u->dev.dev_id, 0, &reg,
				       sizeof(reg), UBLK_CTRL_MS, NULL, NULL);
	if (ret >= UBLK_REGIONS)
		ret = -E2BIG;
	if (ret < 0) {
		ob_error_set(err, ret, "%s: the kernel does not take the memory of share=: %s",
			     u->node, strerror(-ret));
		ob_error_why(err,
			     "only files of tmpfs and hugetlbfs, and memfds, can stay where they "
			     "are in memory");
		return ret;
	}
	u->shape.region[ret] = u->share;
	return 0;
}

void ublk_share_close(struct ublk_attach *u)
{
	if (!u->share.base)
		return;
	ob_dma_unmap(&u->share_map);
	ob_dma_forget(u->disk.blk->dma, u->share.base, u->share.len);
	munmap(u->share.base, u->share.len);
	u->share.base = NULL;
}
