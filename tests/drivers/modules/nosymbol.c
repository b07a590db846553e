/* SPDX-License-Identifier: BSD-2-Clause */
/* A shared object that is no driver. */
int something_else;
